#!/usr/bin/env python3
"""Expected ratings for tests/reference.rs: expectation propagation with 60 digits, independent of the engine.

The factor graph of Herbrich, Minka and Graepel (2006) is written down as it stands there: skill, performance, weighted team sum, and a
difference per pair of neighbouring places that is above the draw margin or within it. Messages run until none moves by more than 1e-30.

Usage: python3 generate.py > cases.json        (needs mpmath 1.3; about five minutes)
"""
import json
import random

from mpmath import erfc, erfinv, exp, log, mp, mpf, pi, sqrt

mp.dps = 60
SETTLED = mpf(10) ** -30


def density(x):
    return exp(-x * x / 2) / sqrt(2 * pi)


def below(x):
    return erfc(-x / sqrt(mpf(2))) / 2


def won(t, margin):
    """How an observed win moves the mean of a unit normal at t, and what is left of its variance."""
    z = t - margin
    # Far tails lose digits to cancellation: as many more are carried as z^4 needs.
    with mp.workdps(60 + (int(4 * log(abs(z) + 1, 10)) if z < 0 else 0)):
        v = density(z) / below(z)
        return v, 1 - v * (v + z)


def drew(t, margin):
    t = mpf(t)
    far = abs(t) + margin
    with mp.workdps(80 + int(6 * log(far + 10, 10)) + int(3 * abs(log(margin, 10)))):
        a, b = -margin - abs(t), margin - abs(t)
        inside = below(b) - below(a)
        v = (density(a) - density(b)) / inside
        w = v * v - (a * density(a) - b * density(b)) / inside
        # Mirrored to the lower tail; a mean above zero moves down.
        return (-v if t < 0 else v), 1 - w


def rate(parameters, teams, ranks, weights=None):
    beta, tau, p = (mpf(parameters[name]) for name in ("beta", "tau", "draw_probability"))
    unit = sqrt(mpf(2)) * erfinv(p) * beta
    weights = weights or [[1] * len(team) for team in teams]
    skills = [[(mpf(mean), mpf(sigma) ** 2 + tau ** 2) for mean, sigma in team] for team in teams]
    sums = []
    for team, shares in zip(skills, weights):
        mean = sum(mpf(w) * m for (m, _), w in zip(team, shares))
        variance = sum(mpf(w) ** 2 * (v + beta ** 2) for (_, v), w in zip(team, shares))
        sums.append((mean, variance))
    order = sorted(range(len(teams)), key=lambda team: (ranks[team], team))
    order = [team for team in order if sums[team][1] > 0]
    prior = [(1 / sums[team][1], sums[team][0] / sums[team][1]) for team in order]
    up = [(mpf(0), mpf(0)) for _ in order]  # from the comparison with the worse neighbour
    down = [(mpf(0), mpf(0)) for _ in order]  # from the comparison with the better neighbour
    pairs = list(range(len(order) - 1))
    for sweep in range(3000):
        moved = mpf(0)
        for i in pairs + pairs[-2::-1]:
            first = tuple(x + y for x, y in zip(prior[i], down[i]))
            second = tuple(x + y for x, y in zip(prior[i + 1], up[i + 1]))
            (m1, v1), (m2, v2) = ((h / g, 1 / g) for g, h in (first, second))
            variance = v1 + v2
            c = sqrt(variance)
            margin = unit * sqrt(mpf(len(teams[order[i]]) + len(teams[order[i + 1]]))) / c
            t = (m1 - m2) / c
            if ranks[order[i]] == ranks[order[i + 1]]:
                shift, left = drew(t, max(margin, mpf(10) ** -6))
            else:
                shift, left = won(t, margin)
            # The difference afterwards, and what of it is news.
            mean, after = (m1 - m2) + c * shift, variance * left
            news = (1 / after - 1 / variance, mean / after - (m1 - m2) / variance)
            for side, sign, other_mean, other_variance in ((0, 1, m2, v2), (1, -1, m1, v1)):
                g, h = news
                scale = 1 + other_variance * g
                message = (g / scale, (sign * h + g * other_mean) / scale)
                slot = up if side == 0 else down
                at = i + side
                old = slot[at]
                moved = max(moved, abs(message[0] - old[0]) / prior[at][0],
                            abs(message[1] - old[1]) / (sqrt(prior[at][0]) + abs(prior[at][1])))
                slot[at] = message
        if moved < SETTLED or len(pairs) <= 1:
            break
    else:
        raise SystemExit("messages did not settle")
    after = [[[m, sqrt(v)] for m, v in team] for team in skills]
    for at, team in enumerate(order):
        g, h = (x + y for x, y in zip(up[at], down[at]))
        for i, ((m, v), w) in enumerate(zip(skills[team], weights[team])):
            w = mpf(w)
            if w == 0 or g == 0:
                continue
            # What the rest of the team leaves of the likelihood, as seen by this player's skill.
            rest_mean = sums[team][0] - w * m
            rest_variance = sums[team][1] - w * w * (v + beta ** 2)
            seen_mean, seen_variance = (h / g - rest_mean) / w, (1 / g + rest_variance) / w ** 2 + beta ** 2
            precision = 1 / v + 1 / seen_variance
            after[team][i] = [(m / v + seen_mean / seen_variance) / precision, 1 / sqrt(precision)]
    return after


def case(name, teams, ranks, weights=None, **parameters):
    stated = {"mu": 25.0, "sigma": 25 / 3, "beta": 25 / 6, "tau": 25 / 300, "draw_probability": 0.1, **parameters}
    after = rate(stated, teams, ranks, weights)
    entry = {"name": name, "parameters": stated, "teams": teams, "ranks": ranks}
    if weights:
        entry["weights"] = weights
    entry["after"] = [[[float(m), float(s)] for m, s in team] for team in after]
    return entry


def tails():
    """Gaps of a hundred and a thousand deviations and more: a win of either side, a draw, alone and in company."""
    for sigma in (0.1, 1.0, 8.0):
        for gap in (100, 300, 1000, 10000):
            half = gap * sigma / 2
            for ranks in ([0, 1], [1, 0], [0, 0]):
                for p in (0.0, 0.1) if ranks != [0, 0] else (0.1, 0.5):
                    yield case(f"duel, sigma {sigma}, gap {gap}, {ranks}, p {p}", [[[-half, sigma]], [[half, sigma]]], ranks, draw_probability=p)
    for gap in (100, 1000):
        for ranks in ([0, 1, 2], [2, 1, 0], [0, 0, 0], [1, 0, 0]):
            yield case(f"three, gap {gap}, {ranks}", [[[0.0, 1.0]], [[gap * 1.0, 1.0]], [[2.0 * gap, 1.0]]], ranks)
        yield case(f"five against five, gap {gap}", [[[-gap / 2, 1.0]] * 5, [[gap / 2, 1.0]] * 5], [0, 1])
        yield case(f"two against three drew, gap {gap}", [[[-gap / 2, 1.0]] * 2, [[gap / 2, 1.0]] * 3], [0, 0])


def shapes():
    """What other suites test: partial play, unequal teams, strangers and certainties, draws of many, no drift, no draws."""
    new = [25.0, 25 / 3]
    for n in (2, 3, 4, 5, 8):
        for ranks in ([0, 1], [1, 0], [0, 0]):
            yield case(f"1 against {n}, {ranks}", [[new], [new] * n], ranks)
    for n in (3, 5, 8, 12):
        yield case(f"{n} draw", [[new]] * n, [0] * n)
        yield case(f"{n} in order", [[new]] * n, list(range(n)))
        yield case(f"{n}, the first two and the last two drew", [[new]] * n, [0, 0] + list(range(2, n - 1)) + [n - 2])
    yield case("no drift", [[[30.0, 2.0]], [[20.0, 9.0]]], [1, 0], tau=0.0)
    yield case("no draws", [[new], [new]], [0, 1], draw_probability=0.0)
    yield case("a draw where there are none", [[[30.0, 3.0]], [[25.0, 4.0]]], [0, 0], draw_probability=0.0)
    yield case("strangers of every degree", [[[25.0, 1000.0]], [[25.0, 0.001]]], [0, 1])
    yield case("hardly any noise", [[new], [new]], [0, 1], beta=1e-3, tau=0.0)
    yield case("hardly any noise, drawn", [[new], [[26.0, 2.0]]], [0, 0], beta=1e-3, tau=0.0)
    yield case("nothing but noise", [[new], [[26.0, 2.0]]], [1, 0], beta=1e3)
    yield case("below zero", [[[-40.0, 4.0], [-45.0, 3.0]], [[-20.0, 7.0]]], [0, 1])
    yield case("draws nine times in ten", [[[30.0, 3.0]], [[24.0, 6.0]]], [0, 0], draw_probability=0.9)
    yield case("a win where draws are usual", [[[30.0, 3.0]], [[24.0, 6.0]]], [0, 1], draw_probability=0.9)
    for w in ([[1], [0, 1]], [[1], [0.5, 1]], [[0.5], [0.5, 0.5]], [[1], [0.1, 0.9]], [[0.25], [1, 1]]):
        for ranks in ([0, 1], [1, 0], [0, 0]):
            yield case(f"present for {w}, {ranks}", [[new], [new, [30.0, 3.0]]], ranks, w)
    yield case("three teams, partly present", [[new, [30.0, 3.0]], [[20.0, 5.0]], [new, new]], [1, 0, 1], [[1, 0.3], [0.7], [0.5, 0.2]])
    yield case("hardly present", [[new], [new, [30.0, 3.0]]], [0, 1], [[1], [0.01, 0.001]])


def chance(count):
    dice = random.Random(4)
    for number in range(count):
        n = dice.choice([2, 2, 2, 3, 3, 4, 5, 6, 8])
        size = lambda: dice.choice([1, 1, 2, 3, 5])
        width = dice.choice([1.0, 1.0, 1.0, 4.0])
        teams = [[[round(25 + width * dice.uniform(-25, 25), 3), round(dice.uniform(0.3, 9), 3)] for _ in range(size())] for _ in range(n)]
        if n > 4:
            teams = [team[:2] for team in teams]
        ranks = [dice.randrange(n if dice.random() < 0.7 else 2) for _ in range(n)]
        parameters = {
            "beta": dice.choice([25 / 6, 25 / 6, 6.25, 1.0, 12.0]),
            "tau": dice.choice([25 / 300, 0.0, 1.0]),
            "draw_probability": dice.choice([0.1, 0.1, 0.0 if len(set(ranks)) == n else 0.02, 0.4, 0.8]),
        }
        weights = [[round(dice.uniform(0.1, 1), 2) for _ in team] for team in teams] if dice.random() < 0.15 else None
        yield case(f"chance {number}", teams, ranks, weights, **parameters)


def main():
    cases = [*tails(), *shapes(), *chance(200)]
    print('{"about": "made by generate.py beside this file", "cases": [')
    print(",\n".join(json.dumps(entry) for entry in cases))
    print("]}")


if __name__ == '__main__':
    main()
