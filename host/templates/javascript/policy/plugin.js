// @NAME@: pairs players of nearest rating, region by region.
//
// The contract, with units and ranges, is wit/ranked.wit; names in kebab-case there are in camelCase here. The host hands over everybody who
// waits, as columns: entry t of a column per ticket belongs to queue ticket t. It checks every proposal and drops what breaks a rule.

import log from "ranked:plugin/log@1.0.0";

const DEFAULTS = { mean_difference_max: 1_000_000 };
// The largest u32. Written as 4294967295 it would arrive as 2147483647: componentize-qjs cuts there, and takes -1 for all bits set.
const NEW_MATCH = -1;
const MUST_NOT_MEET = 255;
const LATENCY_UNKNOWN = 65535;
// What keeps a ticket waiting, as the contract numbers it.
const [MATCHED, PLAYERS, SKILL, LATENCY, SERVERS, APART] = [0, 1, 2, 4, 6, 7];

let parameters = DEFAULTS;
let teamSizes = [1, 1];

export const lifecycle = {
    describe() {
        return {
            name: "@NAME@",
            version: "0.1.0",
            parametersSchema: JSON.stringify({
                type: "object",
                additionalProperties: false,
                properties: {
                    mean_difference_max: {
                        type: "number",
                        default: DEFAULTS.mean_difference_max,
                        description: "Widest difference in mean between any two players of a match.",
                    },
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
        // One entry stands for all teams of a free-for-all.
        const sizes = Array.from(shape.teamSizes);
        teamSizes = sizes.length === 1 ? new Array(shape.teams).fill(sizes[0]) : sizes;
        log.log("debug", `ready for queue ${shape.queue}`);
    },
};

export const matchmakingPolicy = {
    propose(pool) {
        const proposals = { ticket: [], teamEnd: [], matchEnd: [], region: [], role: [], quality: [], backfill: [] };
        const limit = new Uint8Array(pool.memberEnd.length).fill(PLAYERS);
        const start = (ticket) => (ticket === 0 ? 0 : pool.memberEnd[ticket - 1]);
        const mean = (ticket) => pool.mean[start(ticket)];
        const apart = mustNotMeet(pool);
        // A party of two or more waits for another policy: this one seats one player at a time.
        const single = Array.from(limit.keys()).filter((ticket) => pool.memberEnd[ticket] - start(ticket) === 1);
        // Equal means by index, so that the answer never depends on chance.
        single.sort((a, b) => mean(a) - mean(b) || a - b);
        pool.slots.forEach((slots, region) => {
            const waiting = single.filter((ticket) => limit[ticket] !== MATCHED && mayPlayIn(pool.regions[ticket], region));
            seatRegion({ pool, proposals, limit, start, mean, apart }, region, slots, waiting);
        });
        return { ...proposals, limit };
    },
};

// A mask of regions arrives as a number: exact up to region 52.
function mayPlayIn(regions, region) {
    return Math.floor(regions / 2 ** region) % 2 === 1;
}

// Pairs of tickets, both ways round.
function mustNotMeet(pool) {
    const pairs = new Set();
    for (let pair = 0; pair < pool.apartWeight.length; pair++) {
        if (pool.apartWeight[pair] === MUST_NOT_MEET) {
            const [a, b] = [pool.apart[2 * pair], pool.apart[2 * pair + 1]];
            pairs.add(`${a} ${b}`).add(`${b} ${a}`);
        }
    }
    return pairs;
}

// Walks along the means and makes a match of each run of neighbors who accept each other.
function seatRegion(tick, region, slots, waiting) {
    const { proposals, limit } = tick;
    const players = teamSizes.reduce((sum, size) => sum + size, 0);
    let position = 0;
    while (position + players <= waiting.length) {
        const table = waiting.slice(position, position + players);
        const problem = slots === 0 ? SERVERS : whyNot(tick, region, table);
        if (problem !== MATCHED) {
            limit[table[0]] = problem;
            position += 1;
            continue;
        }
        slots -= 1;
        position += players;
        for (const ticket of table) {
            limit[ticket] = MATCHED;
        }
        for (const team of teamsOf(table)) {
            proposals.ticket.push(...team);
            proposals.teamEnd.push(proposals.ticket.length);
        }
        proposals.matchEnd.push(proposals.teamEnd.length);
        proposals.region.push(region);
        proposals.quality.push(1 / (1 + gap(tick, table)));
        proposals.backfill.push(NEW_MATCH);
    }
}

// Deals the players out, best first and back and forth, so that every team gets strong and weak ones.
function teamsOf(table) {
    const teams = teamSizes.map(() => []);
    const worstFirst = table.slice();
    for (let turn = 0; turn < Math.max(...teamSizes); turn++) {
        for (let seat = 0; seat < teams.length; seat++) {
            const team = turn % 2 === 0 ? seat : teams.length - 1 - seat;
            if (teams[team].length < teamSizes[team]) {
                teams[team].push(worstFirst.pop());
            }
        }
    }
    return teams;
}

// Difference between the best and the worst mean; the table is sorted.
function gap({ mean }, table) {
    return mean(table[table.length - 1]) - mean(table[0]);
}

// What keeps these tickets from playing each other in this region, or MATCHED.
function whyNot(tick, region, table) {
    const { pool, start, apart } = tick;
    const widest = Math.min(parameters.mean_difference_max, ...table.map((ticket) => pool.reach[ticket]));
    if (gap(tick, table) > widest) {
        return SKILL;
    }
    const tooFar = (ticket) => {
        const latency = pool.latencyMs[start(ticket) * pool.slots.length + region];
        return latency !== LATENCY_UNKNOWN && latency > pool.latencyMaxMs[ticket];
    };
    if (table.some(tooFar)) {
        return LATENCY;
    }
    return table.some((a) => table.some((b) => apart.has(`${a} ${b}`))) ? APART : MATCHED;
}
