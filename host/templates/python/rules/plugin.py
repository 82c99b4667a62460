"""@NAME@: caps what a game server may claim.

The contract, with units and ranges, is wit/ranked.wit; names in kebab-case there are in snake_case here. Rules declare bounds, which the
host enforces even where `review` fails, and say what they think of each claim.
"""

import json
import math

import wit_world
from componentize_py_types import Err
from wit_world.exports.lifecycle import Description, ParameterError
from wit_world.exports.stat_rules import Bound, Clamp, Finding_Hold, Finding_Suspicious, Reason, Verdict
from wit_world.imports import log

# Statistics that are capped, wherever the queue has them.
CAPPED = ("kills", "deaths")
DEFAULTS = {"cap": 60.0}
# `player` of a line that belongs to the contest as a whole.
NOBODY = 65535

parameters = dict(DEFAULTS)
capped = []


class Lifecycle(wit_world.exports.Lifecycle):
    def describe(self):
        cap = {"type": "number", "default": DEFAULTS["cap"], "description": "The most that a player can do of anything capped."}
        schema = {"type": "object", "additionalProperties": False, "properties": {"cap": cap}}
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
        capped[:] = [shape.stats.index(name) for name in CAPPED if name in shape.stats]
        log.log(log.Level.DEBUG, f"ready for queue {shape.queue}")


class StatRules(wit_world.exports.StatRules):
    def bounds(self):
        return [Bound(stat, False, 0.0, parameters["cap"]) for stat in capped]

    def review(self, claim):
        clamps = []
        for index, line in enumerate(claim.lines):
            if line.player != NOBODY and line.stat in capped:
                # A game server can send anything, also what is no number: that counts as nothing done.
                inside = 0.0 if math.isnan(line.value) else min(max(line.value, 0.0), parameters["cap"])
                if inside != line.value:
                    clamps.append(Clamp(index, inside))
        findings = []
        if clamps:
            detail = f"{len(clamps)} numbers outside 0 to {parameters['cap']:g}"
            findings.append(Finding_Suspicious(Reason("stat-capped", detail)))
        if claim.duration_s == 0 and claim.lines:
            findings.append(Finding_Hold(Reason("no-duration", "statistics from a contest that took no time")))
        return Verdict(clamps, findings)
