"""@NAME@: an Elo engine for teams of any size.

The contract, with units and ranges, is wit/ranked.wit; names in kebab-case there are in snake_case here. Each call of the host runs in a
fresh copy of this module, so nothing that a call leaves behind is there at the next one: what an answer needs comes in as an argument.
"""

import json

import wit_world
from componentize_py_types import Err
from wit_world.exports.lifecycle import Description, ParameterError
from wit_world.exports.rating_engine import Fault_UnsupportedShape, Rating, Update
from wit_world.imports import log

DEFAULTS = {"start": 1500.0, "scale": 400.0, "step": 32.0}
DESCRIPTIONS = {
    "start": "Mean of a player never seen.",
    "scale": "This many points ahead means ten to one.",
    "step": "Points that a contest moves at most.",
}
UNCERTAINTY_START = 350.0
UNCERTAINTY_MIN = 75.0

parameters = dict(DEFAULTS)


class Lifecycle(wit_world.exports.Lifecycle):
    def describe(self):
        properties = {
            name: {"type": "number", "default": value, "description": DESCRIPTIONS[name]} for name, value in DEFAULTS.items()
        }
        schema = {"type": "object", "additionalProperties": False, "properties": properties}
        return Description("@NAME@", "0.1.0", json.dumps(schema))

    def configure(self, shape, text):
        # What is raised here is shown to the operator at its place in plugins.toml.
        written = json.loads(text or "{}")
        errors = []
        for path, value in written.items():
            if path not in DEFAULTS:
                errors.append(ParameterError(path, f"is not a parameter of this plugin; it knows {', '.join(DEFAULTS)}"))
            elif isinstance(value, bool) or not isinstance(value, (int, float)):
                errors.append(ParameterError(path, "must be a number"))
            elif path != "start" and value <= 0:
                errors.append(ParameterError(path, "must be above 0"))
        if errors:
            raise Err(errors)
        parameters.update(written)
        log.log(log.Level.DEBUG, f"ready for queue {shape.queue}")


class RatingEngine(wit_world.exports.RatingEngine):
    def initial(self):
        return Rating(parameters["start"], UNCERTAINTY_START, bytes())

    def rate(self, memory, contest):
        strengths = team_strengths(contest.entrants, len(contest.places))
        changes = [change(team, strengths, contest) for team in range(len(strengths))]
        ratings = []
        for entrant in contest.entrants:
            rating = entrant.rating
            shrunk = rating.uncertainty * (1.0 - 0.05 * contest.trust * entrant.presence)
            uncertainty = max(min(UNCERTAINTY_MIN, rating.uncertainty), shrunk)
            ratings.append(Rating(rating.mean + changes[entrant.team] * entrant.presence, uncertainty, rating.memory))
        return Update(ratings, memory)

    def predict(self, memory, line_up, setting):
        strengths = team_strengths(line_up, 1 + max((entrant.team for entrant in line_up), default=-1))
        teams = range(len(strengths))
        return [win_probability(strengths[i], strengths[j]) for i in teams for j in teams[i + 1 :]]

    def soften(self, rating, keep):
        mean = parameters["start"] + keep * (rating.mean - parameters["start"])
        uncertainty = UNCERTAINTY_START + keep * (rating.uncertainty - UNCERTAINTY_START)
        return Rating(mean, uncertainty, rating.memory)

    def visible(self, rating):
        return rating.mean


def win_probability(mine, theirs):
    """Probability that one strength places before another, draws counted half."""
    exponent = (theirs - mine) / parameters["scale"]
    # Python raises where others answer infinity.
    return 0.0 if exponent > 300.0 else 1.0 / (1.0 + 10.0**exponent)


def change(team, strengths, contest):
    """Points that a team wins or loses: how much better it did against each other team than expected."""
    surprise = 0.0
    for other in range(len(strengths)):
        if other != team:
            mine, theirs = contest.places[team], contest.places[other]
            score = 1.0 if mine < theirs else 0.5 if mine == theirs else 0.0
            surprise += score - win_probability(strengths[team], strengths[other])
    return parameters["step"] * contest.trust * surprise / (len(strengths) - 1)


def team_strengths(entrants, teams):
    """Average mean per team. Raising a case of `fault` tells the host that this engine cannot rate the contest."""
    means = [[] for _ in range(teams)]
    for entrant in entrants:
        means[entrant.team].append(entrant.rating.mean)
    if teams < 2 or not all(means):
        raise Err(Fault_UnsupportedShape())
    return [sum(team) / len(team) for team in means]
