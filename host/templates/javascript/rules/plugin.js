// @NAME@: caps what a game server may claim.
//
// The contract, with units and ranges, is wit/ranked.wit; names in kebab-case there are in camelCase here. Rules declare bounds, which the
// host enforces even where `review` fails, and say what they think of each claim.

import log from "ranked:plugin/log@1.0.0";

// Statistics that are capped, wherever the queue has them.
const CAPPED = ["kills", "deaths"];
const DEFAULTS = { cap: 60 };
// `player` of a line that belongs to the contest as a whole.
const NOBODY = 65535;

let parameters = DEFAULTS;
let capped = [];

export const lifecycle = {
    describe() {
        return {
            name: "@NAME@",
            version: "0.1.0",
            parametersSchema: JSON.stringify({
                type: "object",
                additionalProperties: false,
                properties: {
                    cap: { type: "number", default: DEFAULTS.cap, description: "The most that a player can do of anything capped." },
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
            } else if (typeof value !== "number" || value <= 0) {
                errors.push({ path, problem: "must be a number above 0" });
            }
        }
        if (errors.length > 0) {
            throw errors;
        }
        parameters = { ...DEFAULTS, ...written };
        capped = CAPPED.map((name) => shape.stats.indexOf(name)).filter((index) => index >= 0);
        log.log("debug", `ready for queue ${shape.queue}`);
    },
};

export const statRules = {
    bounds() {
        return capped.map((stat) => ({ stat, total: false, min: 0, max: parameters.cap }));
    },

    review(claim) {
        const clamps = [];
        claim.lines.forEach(({ player, stat, value }, line) => {
            if (player === NOBODY || !capped.includes(stat)) {
                return;
            }
            // A game server can send anything, also what is no number: that counts as nothing done.
            const to = Number.isNaN(value) ? 0 : Math.min(Math.max(value, 0), parameters.cap);
            if (to !== value) {
                clamps.push({ line, to });
            }
        });
        const findings = [];
        if (clamps.length > 0) {
            const detail = `${clamps.length} numbers outside 0 to ${parameters.cap}`;
            findings.push({ tag: "suspicious", val: { code: "stat-capped", detail } });
        }
        if (claim.durationS === 0 && claim.lines.length > 0) {
            findings.push({ tag: "hold", val: { code: "no-duration", detail: "statistics from a contest that took no time" } });
        }
        return { clamps, findings };
    },
};
