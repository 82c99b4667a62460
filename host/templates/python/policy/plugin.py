"""@NAME@: pairs players of nearest rating, region by region.

The contract, with units and ranges, is wit/ranked.wit; names in kebab-case there are in snake_case here. The host hands over everybody who
waits, as columns: entry t of a column per ticket belongs to queue ticket t. It checks every proposal and drops what breaks a rule.
"""

import json

import wit_world
from componentize_py_types import Err
from wit_world.exports.lifecycle import Description, ParameterError
from wit_world.exports.matchmaking_policy import Proposals
from wit_world.imports import log

DEFAULTS = {"mean_difference_max": 1_000_000.0}
NEW_MATCH = 2**32 - 1
MUST_NOT_MEET = 255
LATENCY_UNKNOWN = 65535
# What keeps a ticket waiting, as the contract numbers it.
MATCHED, PLAYERS, SKILL, LATENCY, SERVERS, APART = 0, 1, 2, 4, 6, 7

parameters = dict(DEFAULTS)
team_sizes = [1, 1]


class Lifecycle(wit_world.exports.Lifecycle):
    def describe(self):
        schema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "mean_difference_max": {
                    "type": "number",
                    "default": DEFAULTS["mean_difference_max"],
                    "description": "Widest difference in mean between any two players of a match.",
                }
            },
        }
        return Description("@NAME@", "0.1.0", json.dumps(schema))

    def configure(self, shape, text):
        # What is raised here is shown to the operator at its place in plugins.toml.
        written = json.loads(text or "{}")
        errors = []
        for path, value in written.items():
            if path not in DEFAULTS:
                errors.append(ParameterError(path, f"is not a parameter of this plugin; it knows {', '.join(DEFAULTS)}"))
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
                errors.append(ParameterError(path, "must be a number above 0"))
        if errors:
            raise Err(errors)
        parameters.update(written)
        # One entry stands for all teams of a free-for-all.
        sizes = list(shape.team_sizes)
        team_sizes[:] = sizes * shape.teams if len(sizes) == 1 else sizes
        log.log(log.Level.DEBUG, f"ready for queue {shape.queue}")


class MatchmakingPolicy(wit_world.exports.MatchmakingPolicy):
    def propose(self, pool):
        proposals = Proposals([], [], [], [], [], [], [], bytes())
        limit = bytearray([PLAYERS]) * len(pool.member_end)
        starts = [0, *pool.member_end[:-1]]
        # A party of two or more waits for another policy: this one seats one player at a time.
        single = [t for t, end in enumerate(pool.member_end) if end - starts[t] == 1]
        # By mean; equal means by index, so that the answer never depends on chance.
        by_mean = sorted(single, key=lambda t: (pool.mean[starts[t]], t))
        apart = must_not_meet(pool)
        for region, slots in enumerate(pool.slots):
            waiting = [t for t in by_mean if limit[t] != MATCHED and pool.regions[t] >> region & 1]
            seat_region(pool, proposals, limit, starts, apart, region, slots, waiting)
        proposals.limit = bytes(limit)
        return proposals


def must_not_meet(pool):
    """Pairs of tickets, both ways round."""
    pairs = zip(pool.apart[0::2], pool.apart[1::2], pool.apart_weight)
    return {pair for a, b, weight in pairs if weight == MUST_NOT_MEET for pair in ((a, b), (b, a))}


def seat_region(pool, proposals, limit, starts, apart, region, slots, waiting):
    """Walks along the means and makes a match of each run of neighbors who accept each other."""
    players = sum(team_sizes)
    position = 0
    while position + players <= len(waiting):
        table = waiting[position : position + players]
        problem = SERVERS if slots == 0 else why_not(pool, starts, apart, region, table)
        if problem != MATCHED:
            limit[table[0]] = problem
            position += 1
            continue
        slots -= 1
        position += players
        for ticket in table:
            limit[ticket] = MATCHED
        for team in teams_of(table):
            proposals.ticket.extend(team)
            proposals.team_end.append(len(proposals.ticket))
        proposals.match_end.append(len(proposals.team_end))
        proposals.region.append(region)
        proposals.quality.append(1.0 / (1.0 + gap(pool, starts, table)))
        proposals.backfill.append(NEW_MATCH)


def teams_of(table):
    """Deals the players out, best first and back and forth, so that every team gets strong and weak ones."""
    teams = [[] for _ in team_sizes]
    best_first = iter(reversed(table))
    for turn in range(max(team_sizes)):
        for team in range(len(teams)) if turn % 2 == 0 else reversed(range(len(teams))):
            if len(teams[team]) < team_sizes[team]:
                teams[team].append(next(best_first))
    return teams


def gap(pool, starts, table):
    """Difference between the best and the worst mean; the table is sorted."""
    return pool.mean[starts[table[-1]]] - pool.mean[starts[table[0]]]


def why_not(pool, starts, apart, region, table):
    """What keeps these tickets from playing each other in this region, or MATCHED."""
    regions = len(pool.slots)
    widest = min(parameters["mean_difference_max"], *(pool.reach[t] for t in table))
    if gap(pool, starts, table) > widest:
        return SKILL
    for ticket in table:
        latency = pool.latency_ms[starts[ticket] * regions + region]
        if latency != LATENCY_UNKNOWN and latency > pool.latency_max_ms[ticket]:
            return LATENCY
    if any((a, b) in apart for a in table for b in table):
        return APART
    return MATCHED
