// @NAME@: an Elo engine for teams of any size.
//
// The contract, with units and ranges, is wit/ranked.wit; names in kebab-case there are in camelCase here. Each call of the host runs in a
// fresh copy of this module, so nothing that a call leaves behind is there at the next one: what an answer needs comes in as an argument.

import log from "ranked:plugin/log@1.0.0";

const DEFAULTS = { start: 1500, scale: 400, step: 32 };
const UNCERTAINTY_START = 350;
const UNCERTAINTY_MIN = 75;

let parameters = DEFAULTS;

export const lifecycle = {
    describe() {
        return {
            name: "@NAME@",
            version: "0.1.0",
            parametersSchema: JSON.stringify({
                type: "object",
                additionalProperties: false,
                properties: {
                    start: { type: "number", default: DEFAULTS.start, description: "Mean of a player never seen." },
                    scale: { type: "number", default: DEFAULTS.scale, description: "This many points ahead means ten to one." },
                    step: { type: "number", default: DEFAULTS.step, description: "Points that a contest moves at most." },
                },
            }),
        };
    },

    // What is thrown here is shown to the operator at its place in plugins.toml.
    configure(shape, json) {
        const written = JSON.parse(json || "{}");
        const errors = [];
        for (const [path, value] of Object.entries(written)) {
            if (!(path in DEFAULTS)) {
                errors.push({ path, problem: `is not a parameter of this plugin; it knows ${Object.keys(DEFAULTS).join(", ")}` });
            } else if (typeof value !== "number") {
                errors.push({ path, problem: "must be a number" });
            } else if (path !== "start" && value <= 0) {
                errors.push({ path, problem: "must be above 0" });
            }
        }
        if (errors.length > 0) {
            throw errors;
        }
        parameters = { ...DEFAULTS, ...written };
        log.log("debug", `ready for queue ${shape.queue}`);
    },
};

export const ratingEngine = {
    initial() {
        return { mean: parameters.start, uncertainty: UNCERTAINTY_START, memory: new Uint8Array() };
    },

    rate(memory, contest) {
        const { places, entrants, trust } = contest;
        const strengths = teamStrengths(entrants, places.length);
        const change = places.map((place, team) => {
            let surprise = 0;
            places.forEach((otherPlace, other) => {
                if (other !== team) {
                    const score = place < otherPlace ? 1 : place === otherPlace ? 0.5 : 0;
                    surprise += score - winProbability(strengths[team], strengths[other]);
                }
            });
            return (parameters.step * trust * surprise) / (places.length - 1);
        });
        const ratings = entrants.map(({ rating, team, presence }) => ({
            mean: rating.mean + change[team] * presence,
            uncertainty: Math.max(Math.min(UNCERTAINTY_MIN, rating.uncertainty), rating.uncertainty * (1 - 0.05 * trust * presence)),
            memory: rating.memory,
        }));
        return { ratings, memory };
    },

    predict(memory, lineUp, setting) {
        const teams = 1 + Math.max(-1, ...lineUp.map((entrant) => entrant.team));
        const strengths = teamStrengths(lineUp, teams);
        const pairs = [];
        for (let i = 0; i < teams; i++) {
            for (let j = i + 1; j < teams; j++) {
                pairs.push(winProbability(strengths[i], strengths[j]));
            }
        }
        return pairs;
    },

    soften(rating, keep) {
        return {
            mean: parameters.start + keep * (rating.mean - parameters.start),
            uncertainty: UNCERTAINTY_START + keep * (rating.uncertainty - UNCERTAINTY_START),
            memory: rating.memory,
        };
    },

    visible(rating) {
        return rating.mean;
    },
};

// Probability that one strength places before another, draws counted half.
function winProbability(mine, theirs) {
    return 1 / (1 + 10 ** ((theirs - mine) / parameters.scale));
}

// Average mean per team. Throwing a case of `fault` tells the host that this engine cannot rate the contest.
function teamStrengths(entrants, teams) {
    const sums = new Array(teams).fill(0);
    const counts = new Array(teams).fill(0);
    for (const { rating, team } of entrants) {
        sums[team] += rating.mean;
        counts[team] += 1;
    }
    if (teams < 2 || counts.includes(0)) {
        throw { tag: "unsupported-shape" };
    }
    return sums.map((sum, team) => sum / counts[team]);
}
