"""Writes peers.json: contests rated by other implementations of the models of Weng and Lin.

    python3 -m venv v && v/bin/pip install openskill==6.2.0 mpmath==1.3.0
    npm install --prefix n openskill@5.0.1
    v/bin/python generate.py n/node_modules/openskill > peers.json

Contests are drawn with a fixed seed. Each is rated by openskill.py, by openskill.js, or (ratings so far apart that those overflow or
replace V and W by rough bounds) by the formulas of the paper with sixty digits, which are written down once more here. Where a peer is
within its means, it is held against those sixty digits too.
"""

import json
import random
import subprocess
import sys

import mpmath as mp
from openskill import models

mp.mp.dps = 60
OURS = {
    "plackett-luce": models.PlackettLuce,
    "bradley-terry-full": models.BradleyTerryFull,
    "bradley-terry-partial": models.BradleyTerryPart,
    "thurstone-mosteller-full": models.ThurstoneMostellerFull,
    "thurstone-mosteller-partial": models.ThurstoneMostellerPart,
}
JS = {name: cls.__name__[0].lower() + cls.__name__[1:] for name, cls in OURS.items()}
DICE = random.Random(2011)


def paper(case):
    """Algorithms 1 to 4 with sixty digits; None where weights, balance or scores have a part in it."""
    p = case["parameters"]
    if case.get("presence") or case.get("scores") or p.get("balance"):
        return None
    beta, tau, kappa, model = mp.mpf(p["beta"]), mp.mpf(p["tau"]), mp.mpf(p["kappa"]), p["model"]
    places = case["places"]
    k = len(places)
    teams = [[(mp.mpf(m), mp.sqrt(mp.mpf(s) ** 2 + tau**2)) for m, s in team] for team in case["teams"]]
    mu = [sum(m for m, _ in team) for team in teams]
    var = [sum(s**2 for _, s in team) for team in teams]
    order = sorted(range(k), key=lambda i: places[i])
    after = []
    for i in range(k):
        omega, delta = mp.mpf(0), mp.mpf(0)
        if model == "plackett-luce":
            c = mp.sqrt(sum(v + beta**2 for v in var))
            for q in range(k):
                if places[q] > places[i]:
                    continue
                left = [s for s in range(k) if places[s] >= places[q]]
                share = mp.exp(mu[i] / c) / sum(mp.exp(mu[s] / c) for s in left)
                tied = sum(1 for s in range(k) if places[s] == places[q])
                omega += ((1 if i == q else 0) - share) / tied
                delta += share * (1 - share) / tied
            gamma = mp.mpf(1) / k if p.get("gamma") == "one-over-k" else mp.sqrt(var[i]) / c
            omega, delta = omega * var[i] / c, delta * gamma * var[i] / c**2
        else:
            at = order.index(i)
            window = p["window"] if model.endswith("partial") else k
            others = [order[j] for j in range(k) if j != at and abs(j - at) <= window]
            for q in others:
                c = mp.sqrt(var[i] + var[q] + 2 * beta**2) * (2 if model == "thurstone-mosteller-partial" else 1)
                gamma = mp.mpf(1) / k if p.get("gamma") == "one-over-k" else mp.sqrt(var[i]) / c
                step, information = comparison(model, (mu[i] - mu[q]) / c, mp.mpf(p["epsilon"]) / c, places[i], places[q])
                omega += var[i] / c * step
                delta += gamma * var[i] / c**2 * information
            if model.endswith("partial") and p["averaged"]:
                omega, delta = omega / len(others), delta / len(others)
        row = []
        for (m, s), (_, before) in zip(teams[i], case["teams"][i]):
            sigma = s * mp.sqrt(max(1 - s**2 / var[i] * delta, kappa))
            row.append([float(m + s**2 / var[i] * omega), float(min(sigma, before) if p.get("limit_sigma") else sigma)])
        after.append(row)
    return after


def comparison(model, x, t, own, other):
    if model.startswith("bradley"):
        p = 1 / (1 + mp.exp(-x))
        return (1 if own < other else mp.mpf("0.5") if own == other else 0) - p, p * (1 - p)
    if own == other:
        b = mp.ncdf(t - abs(x)) - mp.ncdf(-t - abs(x))
        v = (mp.npdf(-t - x) - mp.npdf(t - x)) / b
        return v, ((t - x) * mp.npdf(t - x) + (t + x) * mp.npdf(-t - x)) / b + v**2
    sign = 1 if own < other else -1
    z = sign * x - t
    v = mp.npdf(z) / mp.ncdf(z)
    return sign * v, v * (v + z)


def within_means(case):
    """Whether the peers neither overflow nor fall back to rough bounds, and lose no digits to cancellation."""
    p = case["parameters"]
    mu, var = [], []
    for team in case["teams"]:
        team = [(m, (s**2 + p["tau"] ** 2) ** 0.5) for m, s in team]
        best = max(m - 3 * s for m, s in team)
        factor = lambda m, s: 1 + (best - m + 3 * s) / (best + p["kappa"]) if p.get("balance") else 1
        mu.append(sum(m * factor(m, s) for m, s in team))
        var.append(sum((s * factor(m, s)) ** 2 for m, s in team))
    for i in range(len(mu)):
        for q in range(i):
            c = float(mp.sqrt(var[i] + var[q] + 2 * p["beta"] ** 2))
            if abs(mu[i] - mu[q]) / c > 100:
                return False
            if p["model"].startswith("thurstone"):
                x = abs(mu[i] - mu[q]) / c
                tie = mp.ncdf(p["epsilon"] / c - x) - mp.ncdf(-p["epsilon"] / c - x)
                if x > 4 or (case["places"][i] == case["places"][q] and tie < 2e-5):
                    return False
    return True


def draw(model, spread=1.0, k=None):
    k = k or DICE.choice([2, 2, 2, 3, 3, 4, 5, 6, 8, 10])
    size = max(1, min(8, 24 // k))
    teams = []
    for _ in range(k):
        players = range(DICE.randint(1, DICE.choice([1, 2, size])))
        teams.append([[round(25 + spread * DICE.gauss(0, 6), 2), round(DICE.uniform(0.4, 9), 2)] for _ in players])
    places = sorted(DICE.choice([0, 1]) for _ in range(k))
    for i in range(1, k):
        places[i] = places[i - 1] + (1 if DICE.random() < 0.75 else 0)
    places[0] = 0
    places = [places[i] - places[0] for i in range(k)]
    DICE.shuffle(places)
    parameters = {"model": model, "beta": 25 / 6, "tau": DICE.choice([0, 25 / 300, 0.5]), "kappa": 0.0001, "epsilon": 0.1}
    parameters["window"], parameters["averaged"] = 4, True
    if DICE.random() < 0.3:
        parameters["beta"] = round(DICE.uniform(1, 9), 2)
    if DICE.random() < 0.2:
        parameters["limit_sigma"] = True
    if DICE.random() < 0.2:
        parameters["epsilon"] = 0.75
    return {"parameters": parameters, "teams": teams, "places": places}


def balanced(case):
    case["teams"] = [[[m + 20, s / 3] for m, s in team] for team in case["teams"]]
    case["parameters"]["balance"] = True
    return case


def scored(case, margin):
    scores = [round(20.0 - 3 * place + 0.0) for place in case["places"]]
    case["scores"] = [float(score) for score in scores]
    case["parameters"]["margin"] = margin
    return case


def by_python(case):
    p = case["parameters"]
    options = dict(beta=p["beta"], tau=p["tau"], kappa=p["kappa"], margin=p.get("margin", 0.0))
    options.update(limit_sigma=p.get("limit_sigma", False), balance=p.get("balance", False))
    if p["model"].startswith("thurstone"):
        options["epsilon"] = p["epsilon"]
    if p["model"].endswith("partial"):
        options["window_size"] = p["window"]
    if p.get("gamma") == "one-over-k":
        options["gamma"] = lambda c, k, *_: 1 / k
    model = OURS[p["model"]](**options)
    teams = [[model.rating(mu=m, sigma=s) for m, s in team] for team in case["teams"]]
    outcome = dict(scores=case["scores"]) if "scores" in case else dict(ranks=[place + 1 for place in case["places"]])
    rated = model.rate(teams, weights=case.get("presence"), **outcome)
    return [[[player.mu, player.sigma] for player in team] for team in rated]


def by_js(cases, package):
    script = """
        const {rate} = require(process.argv[1] + '/dist/index.cjs');
        const models = require(process.argv[1] + '/dist/models/index.cjs');
        const cases = JSON.parse(require('fs').readFileSync(0));
        const rated = cases.map(({teams, options, name, byTeams}) => {
            if (byTeams) options.gamma = (_, k) => 1 / k;
            return rate(teams, {...options, model: models[name]}).map(team => team.map(({mu, sigma}) => [mu, sigma]));
        });
        console.log(JSON.stringify(rated));
    """
    asked = []
    for case in cases:
        p = case["parameters"]
        options = dict(beta=p["beta"], tau=p["tau"], kappa=p["kappa"], epsilon=p["epsilon"], limitSigma=p.get("limit_sigma", False))
        options.update(balance=p.get("balance", False))
        if "scores" in case:
            options.update(score=case["scores"], margin=p["margin"])
        else:
            options.update(rank=[place + 1 for place in case["places"]])
        teams = [[dict(mu=m, sigma=s) for m, s in team] for team in case["teams"]]
        asked.append(dict(teams=teams, options=options, name=JS[p["model"]], byTeams=p.get("gamma") == "one-over-k"))
    command = ["node", "-e", script, package]
    return json.loads(subprocess.run(command, input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True).stdout)


def until(accept, make):
    while True:
        case = make()
        if accept(case):
            return case


def main(package):
    python, js, exact = [], [], []
    for model in OURS:
        for number in range(26):
            python.append(until(within_means, lambda: draw(model)))
        for number in range(5):
            python.append(until(within_means, lambda: scored(draw(model), DICE.choice([1.0, 2.0, 5.0]))))
            case = until(within_means, lambda: draw(model))
            case["presence"] = [[DICE.choice([0.0, 0.25, 0.5, 1.0, 1.0]) for _ in team] for team in case["teams"]]
            case["parameters"]["participation"] = "openskill"
            python.append(case)
        for number in range(3):
            case = until(within_means, lambda: balanced(draw(model, k=3)))
            if number == 2:
                case["parameters"].update(window=1, averaged=False)
            (python if number < 2 else js).append(case)
            case = until(within_means, lambda: draw(model))
            case["parameters"]["gamma"] = "one-over-k"
            python.append(case)
        for number in range(22):
            case = until(within_means, lambda: draw(model))
            if number < 4:
                scored(case, DICE.choice([1.0, 2.0]))
                case["parameters"]["margin_effect"] = "step"
            if number in (5, 6):
                case["parameters"]["gamma"] = "one-over-k"
            case["parameters"].update(window=1, averaged=False)
            js.append(case)
        for spread in [10, 30, 100, 1000]:
            for _ in range(2):
                case = draw(model, spread, k=DICE.choice([2, 3, 4]))
                exact.append(case)
    for case in python:
        case.update(peer="openskill.py 6.2.0", after=by_python(case))
    for case, after in zip(js, by_js(js, package)):
        case.update(peer="openskill.js 5.0.1", after=after)
    for case in exact:
        case.update(peer="sixty digits", after=paper(case))
    for case in python + js:
        check(case, paper(case))
    print("[")
    print(",\n".join(json.dumps(case, separators=(",", ":")) for case in python + js + exact))
    print("]")


def check(case, digits):
    if digits is None:
        return
    flat = lambda teams: [number for team in teams for player in team for number in player]
    worst = max(abs(a - b) for a, b in zip(flat(case["after"]), flat(digits)))
    if worst > 1e-9:
        sys.exit(f"{case['peer']} is {worst} off the paper: {json.dumps(case)}")


if __name__ == "__main__":
    main(sys.argv[1])
