"""Published wealth of online portfolio selection, gross and net, and the metrics of its toolbox.

Digits with two to six decimals are printed in the papers named in docs/online.md; the longer ones
were computed from the definitions by an independent program that agrees with them.
"""

from __future__ import annotations

import csv
import re
from functools import cache

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from agents.baselines import make_baseline
from agents.online import ONLINE
from agents.rollout import rollout
from envs.data import olps
from envs.errors import InputError
from envs.market.costs import LiteratureCost
from envs.portfolio import PortfolioEnv
from experiments.evaluation.evidence import Evidence
from experiments.evaluation.online import Online
from experiments.evaluation.results_csv import results_csv

GROSS = {
    ("nyse_o", "market"): 14.497308277140231,
    ("nyse_o", "best_stock"): 54.14036436157765,
    ("nyse_o", "ucrp"): 27.075246344641013,
    ("nyse_o", "bcrp"): 250.59707492304045,
    ("nyse_o", "eg"): 27.09488960033358,
    ("nyse_o", "ons"): 109.18920615280352,
    ("nyse_o", "pamr"): 5138427764160373.0,
    ("nyse_o", "cwmr_stdev"): 6485698225345936.0,
    ("nyse_o", "olmar_2"): 1.0219548154702976e18,
    ("nyse_o", "rmr"): 1.6394313381412326e17,
    ("msci", "market"): 0.9063524626897211,
    ("msci", "best_stock"): 1.5040225261464177,
    ("msci", "ucrp"): 0.9268363659560831,
    ("msci", "bcrp"): 1.5056928879932492,
    ("msci", "eg"): 0.9260158493355569,
    ("msci", "ons"): 0.8560433436367544,
    ("msci", "pamr"): 15.231962159718414,
    ("msci", "cwmr_stdev"): 17.281393653292767,
    ("msci", "olmar_1"): 14.935335722620517,
    ("msci", "olmar_2"): 22.513752887674535,
    ("msci", "rmr"): 16.760807730188265,
}
# The toolbox's own log of its run on DJIA, 507 days, with all the decimals that it prints.
DJIA_LOG = {
    "ucrp": 0.812726,
    "eg": 0.810030,
    "ons": 1.532990,
    "pamr": 0.680050,
    "pamr_1": 0.680050,
    "pamr_2": 0.705395,
    "cwmr_stdev": 0.687124,
    "cwmr_var": 0.688125,
    "olmar_1": 2.537232,
    "olmar_2": 1.161133,
}
# At 0.1 %, 0.25 % and 0.5 % of the traded notional, each side.
RATES = (0.001, 0.0025, 0.005)
NET = {
    ("nyse_o", "bcrp", "notional"): (220.50433751839594, 182.00762781422907, 132.20195759991688),
    ("nyse_o", "bcrp", "mu_eiie"): (220.4901239069814, 181.93432483549702, 131.98915995649003),
    ("nyse_o", "bcrp", "simple"): (220.50232023868034, 181.99729437863147, 132.17234220698347),
    ("nyse_o", "bcrp", "olps"): (220.50258465619476, 181.99857003689635, 132.17556620920342),
    ("nyse_o", "eg", "notional"): (25.41170500853942, 23.08114673872533, 19.662554685180112),
    ("nyse_o", "eg", "mu_eiie"): (25.410877442291046, 23.076449630741163, 19.646556168752117),
    ("nyse_o", "eg", "simple"): (25.411619462862685, 23.080666252458425, 19.660949842998516),
    ("nyse_o", "eg", "olps"): (25.41165358750973, 23.08085050388948, 19.66150602844317),
    ("nyse_o", "pamr", "notional"): (364901679139.1691, 218291.30143415878, 9.260641567393666e-06),
    ("nyse_o", "pamr", "mu_eiie"): (363162751959.127, 211870.269711555, 8.21812104355271e-06),
    ("nyse_o", "pamr", "simple"): (361705361186.3267, 206596.63188385847, 7.426292266385758e-06),
    ("nyse_o", "pamr", "olps"): (358645763918.756, 195838.92972260408, 5.9801694213615855e-06),
    ("nyse_o", "olmar_1", "notional"): (35387597207294.93, 384377193.9204527, 2.047161776000123),
    ("nyse_o", "olmar_1", "mu_eiie"): (35253006934717.266, 375330952.2759328, 1.8611385129187297),
    ("nyse_o", "olmar_1", "simple"): (35123804015166.777, 366790389.72609967, 1.6966459329849155),
    ("nyse_o", "olmar_1", "olps"): (34866807814421.74, 350230418.62466085, 1.4074786413418232),
    ("msci", "bcrp", "notional"): (1.501043873730302, 1.4940999683963938, 1.4826051541859357),
    ("msci", "bcrp", "mu_eiie"): (1.5010408019127215, 1.4940808582198064, 1.48252930065926),
    ("msci", "bcrp", "simple"): (1.5010423826200914, 1.4940907128826497, 1.482568554645381),
    ("msci", "bcrp", "olps"): (1.501042056206995, 1.4940846158426513, 1.4825382928168083),
    ("msci", "eg", "notional"): (0.9175573606202262, 0.9050156732407171, 0.884496133979042),
    ("msci", "eg", "mu_eiie"): (0.9175526917179451, 0.9049868911091024, 0.8843836155030403),
    ("msci", "eg", "simple"): (0.9175564759421114, 0.9050102460937332, 0.8844751027041673),
    ("msci", "eg", "olps"): (0.9175565718001275, 0.9050094411097741, 0.8844662536810111),
    ("msci", "pamr", "notional"): (2.389230243017219, 0.14842259219852483, 0.0014460839979341974),
    ("msci", "pamr", "mu_eiie"): (2.3870171321734897, 0.14756540810772495, 0.0014129652766432567),
    ("msci", "pamr", "simple"): (2.3849550017613264, 0.1467680600462327, 0.0013825213090198085),
    ("msci", "pamr", "olps"): (2.3807992472904873, 0.14516483844781575, 0.001322241079492245),
    ("msci", "olmar_1", "notional"): (
        3.6783049257470903,
        0.44956668043084425,
        0.013531752097451444,
    ),
    ("msci", "olmar_1", "mu_eiie"): (3.6757268244615724, 0.44760092701842086, 0.013296624119873566),
    ("msci", "olmar_1", "simple"): (3.673189121740369, 0.44566724180670586, 0.01306719580001116),
    ("msci", "olmar_1", "olps"): (3.668102628699948, 0.4417980134906614, 0.012614281467909718),
}


@cache
def market(name, reversed=False):
    try:
        return olps(name=name, reversed=reversed)
    except InputError as error:
        pytest.skip(str(error))


@cache
def policy(name, strategy, **settings):
    return make_baseline(strategy, market(name), **settings)


def play(policy, panel, model="notional", rate=0.0):
    env = PortfolioEnv(
        panel,
        observation=policy.observation,
        action=policy.action,
        execution="same_close",
        cost=LiteratureCost(model, rate),
        ruin=0.0,
    )
    return rollout(policy, env)


@pytest.mark.parametrize(("name", "strategy"), GROSS)
def test_wealth_without_costs(name, strategy):
    wealth = play(policy(name, strategy), market(name)).value[-1]
    assert wealth == pytest.approx(GROSS[name, strategy], rel=1e-11)


@pytest.mark.parametrize(
    ("name", "strategy", "model"),
    [pytest.param(*case, marks=pytest.mark.slow if case[0] == "nyse_o" else ()) for case in NET],
)
def test_wealth_after_costs(name, strategy, model):
    for rate, wealth in zip(RATES, NET[name, strategy, model], strict=True):
        found = play(policy(name, strategy), market(name), model, rate).value[-1]
        assert found == pytest.approx(wealth, rel=1e-9)


@pytest.mark.parametrize("strategy", DJIA_LOG)
def test_the_log_of_the_toolbox(strategy):
    wealth = play(policy("djia", strategy), market("djia")).value[-1]
    assert wealth == pytest.approx(DJIA_LOG[strategy], abs=1.01e-6)


@pytest.mark.parametrize(
    ("name", "wealth"), [("nyse_o", 3.683689803777457e16), ("msci", 16.390647348026373)]
)
def test_olmar_1_as_it_was_printed(name, wealth):
    """3.68E+16 is the number of the paper; its formula gives 7.21E+16."""
    printed = policy(name, "olmar_1", as_printed=True)
    assert play(printed, market(name)).value[-1] == pytest.approx(wealth, rel=1e-11)
    own = play(policy(name, "olmar_1"), market(name)).value[-1]
    assert abs(own / wealth - 1) > 0.05


def test_the_log_of_anticor_to_the_digits_that_ties_leave():
    """Where two assets grew alike, the last bit decides which of them hands over its weight."""
    wealth = play(policy("djia", "anticor"), market("djia")).value[-1]
    assert wealth == pytest.approx(2.285082, rel=1e-4)


def test_universal_portfolio_barely_depends_on_its_draw():
    """0.9262 on MSCI, where uniform is 0.9268: nothing like what a run of ten samples scatters."""
    wealth = [play(policy("msci", "up", seed=seed), market("msci")).value[-1] for seed in range(4)]
    assert np.std(wealth) < 1e-4
    # Its wealth is the mean of the wealth of all constant mixes (Cover 1991).
    x = market("msci").close
    x = x[1:] / x[:-1]
    mixes = np.random.default_rng(9).dirichlet(np.ones(x.shape[1]), 20_000)
    every = np.exp(np.log(x @ mixes.T).sum(axis=0))
    error = every.std() / np.sqrt(len(every))
    assert abs(np.mean(wealth) - every.mean()) < 4 * error


# ------------------------------------------------------------------------------ the toolbox
# OLPS manual, pp. 16-29: mean, annual return, std, annual std, Sharpe (4 % a year), Calmar,
# Sortino, value at risk at 5 % and maximum drawdown, as its window shows them. (Those of BCRP are
# of its optimum: the toolbox's optimiser stops short, and prints 0.2498, 0.0206 and 0.4080 last.)
WINDOW = {
    "ucrp": (5.3001e-05, -0.0182, 0.0158, 0.2516, -0.2313, -0.0312, 0.0694, 0.0245, 0.6436),
    "best_stock": (0.00047016, 0.1036, 0.0125, 0.1988, 0.3201, 0.2585, 0.7368, 0.0210, 0.3935),
    "bcrp": (0.00046781, 0.1039, 0.0122, 0.1944, 0.3288, 0.2499, 0.7463, 0.0205, 0.4078),
    "eg": (5.1829e-05, -0.0184, 0.0158, 0.2512, -0.2324, -0.0315, 0.0681, 0.0245, 0.6438),
    "pamr": (0.0029, 0.9309, 0.0230, 0.3648, 2.4424, 1.6773, 2.5379, 0.0352, 0.5528),
}
# And its command line: win ratio, alpha, beta, t, annual yield, volatility, Sharpe, drawdown at the
# end, maximum drawdown, Calmar; recomputed in all digits.
COMMAND = {
    "ucrp": (0.5206136145733461, 2.9498235358725e-05, 1.021048494001225, 1.30103974229916,
             -0.01881530233510076, 0.2515678038432682, -0.2337950303519121, 0.34747687703526753,
             0.643631156915538, -0.029233050844320516),
    "best_stock": (0.5206136145733461, 0.00037365544503423903, 0.45851238139538353,
                   1.1703990834094735, 0.1074231175705318, 0.19880634693601465, 0.33913966334400664,
                   0.003199146894161453, 0.3935056611835085, 0.2729900181040491),
    "pamr": (0.5925215723873442, 0.0028670827941832183, 1.1177135615176021, 6.135832311578344,
             0.9755542629428591, 0.36477699516141904, 2.5647293424544575, 0.019631168596812576,
             0.5527980522601947, 1.7647570554095922),
}  # fmt: skip


def drawdowns(value):
    return 1 - value / np.maximum.accumulate(value)


@pytest.mark.parametrize("strategy", WINDOW)
def test_the_window_of_the_toolbox(strategy):
    run = play(policy("msci", strategy), market("msci"))
    r, value = run.net_return, run.value[1:]
    # Below the rounding of a day on which nothing moved.
    years, below = len(r) / 252, r[r < -1e-12]
    annual = value[-1] ** (1 / years) - 1
    deepest = drawdowns(value).max()
    found = (
        r.mean(),
        annual,
        r.std(ddof=1),
        r.std(ddof=1) * np.sqrt(252),
        (annual - 0.04) / (r.std(ddof=1) * np.sqrt(252)),
        # Its Calmar leaves the first day out of the growth, but not out of the years.
        ((value[-1] / value[0]) ** (1 / years) - 1) / deepest,
        # Its Sortino divides the root of the sum of squares, not of their mean, by their number.
        r.mean() / (np.sqrt((below**2).sum()) / len(below)),
        -np.sort(r)[round(0.05 * len(r)) - 1],
        deepest,
    )
    decimals = (5e-5, *[5.1e-5] * 8) if strategy == "pamr" else (5.1e-9, *[5.1e-5] * 8)
    for got, printed, rounding in zip(found, WINDOW[strategy], decimals, strict=True):
        assert got == pytest.approx(printed, abs=rounding)


@pytest.mark.parametrize("strategy", COMMAND)
def test_the_command_line_of_the_toolbox(strategy):
    run = play(policy("msci", strategy), market("msci"))
    own = play(policy("msci", "market"), market("msci")).net_return
    r, value, n = run.net_return, run.value[1:], len(run.net_return)
    y, x = r - 0.000156, own - 0.000156
    slope, constant = np.polyfit(x, y, 1)
    error = (y - constant - slope * x).std(ddof=1) / np.sqrt(n)
    annual = value[-1] ** (1 / round(n / 252)) - 1
    volatility = r.std(ddof=1) * np.sqrt(252)
    found = (
        np.mean(r >= own),
        constant,
        slope,
        constant / error,
        annual,
        volatility,
        (annual - 0.04) / volatility,
        drawdowns(value)[-1],
        drawdowns(value).max(),
        annual / drawdowns(value).max(),
    )
    np.testing.assert_allclose(found, COMMAND[strategy], rtol=1e-7)


# ------------------------------------------------------------------------------ the recipe
def test_every_row_is_a_test_row():
    panel = market("msci")
    (window,) = Online(baselines={"market": {}}).windows(panel, warmup=50)
    assert window.test == (0, panel.n_rows - 1)
    assert len(range(*window.train)) == len(range(*window.validation)) == 0


def run(tmp_path, *overrides):
    from experiments import pipeline

    with initialize_config_module("hydra_conf", version_base="1.3"):
        cfg = compose("config", ["+exp=olps", "evaluation.n_bootstrap=40", *overrides])
    pipeline.run(cfg, tmp_path / "run")


def table(tmp_path):
    with (tmp_path / "run" / "results.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.slow
def test_the_recipe_writes_results(tmp_path):
    market("msci")
    run(tmp_path, "data.name=msci", "cost.model=olps", "cost.rate=0.0025")
    rows = table(tmp_path)
    assert [row["strategy"] for row in rows] == list(ONLINE)
    wealth = {row["strategy"]: float(row["final_wealth"]) for row in rows}
    assert wealth["market"] == pytest.approx(0.9040809026328772, rel=1e-9)
    for strategy in ("bcrp", "eg", "pamr", "olmar_1"):
        assert wealth[strategy] == pytest.approx(NET["msci", strategy, "olps"][1], rel=1e-9)
    evidence = Evidence.read(tmp_path / "run" / "metrics.json")
    for row in rows:
        metrics = evidence.strategies[row["strategy"]].metrics
        assert list(row)[2:] == list(metrics)
        for key, estimate in metrics.items():
            assert row[key] == ("" if estimate.value is None else repr(estimate.value))
        assert float(row["total_return"]) == pytest.approx(wealth[row["strategy"]] - 1, rel=1e-9)
    for name in ("best_stock", "bcrp"):
        assert evidence.strategies[name].hindsight
    assert not evidence.strategies["pamr"].hindsight


@pytest.mark.slow
def test_the_recipe_on_a_reversed_market(tmp_path):
    market("djia")
    keep = ("market", "ucrp", "pamr")
    leave = [f"evaluation.baselines.{name}=null" for name in ONLINE if name not in keep]
    run(tmp_path, "data.name=djia", "data.reversed=true", "cost.rate=0", *leave)
    rows = {row["strategy"]: float(row["final_wealth"]) for row in table(tmp_path)}
    close = market("djia").close
    x = (close[1:] / close[:-1])[::-1]
    # A day forwards with growth x is a day backwards with growth 1 / x.
    backwards = 1 / x
    assert rows["market"] == pytest.approx(backwards.prod(axis=0).mean(), rel=1e-9)
    assert rows["ucrp"] == pytest.approx(backwards.mean(axis=1).prod(), rel=1e-9)


@pytest.mark.slow
def test_the_recipe_is_clean_of_the_future():
    """But for the two yardsticks, which say that they read it."""
    from experiments.auditing.checks import audit

    small = ["data=synthetic", "data.n_rows=150", "data.n_assets=3"]
    with initialize_config_module("hydra_conf", version_base="1.3"):
        cfg = compose("config", ["+exp=olps", *small, "evaluation.baselines.anticor.window=5"])
    report = audit(cfg, days=3)
    assert report.clean
    verdicts = {check.name: check.verdict for check in report.checks}
    for name in ONLINE:
        foreseen = name in ("best_stock", "bcrp")
        assert (verdicts[f"policy {name}"] == "clean") is not foreseen
    assert verdicts["execution"] == verdicts["accounts"] == "clean"


def test_wealth_beyond_1e15_has_honest_numbers():
    """Nothing is infinite, and nothing warns (a warning is an error here)."""
    from experiments.evaluation.evidence import evaluate

    made = {
        name: [play(policy("nyse_o", name), market("nyse_o"))] for name in ("market", "olmar_2")
    }
    evidence = evaluate(made, baselines=list(made), agents=[], n_bootstrap=40)
    for estimate in evidence.strategies["olmar_2"].metrics.values():
        assert estimate.value is None or np.isfinite(estimate.value)
        assert estimate.value is not None or estimate.reason
    lines = results_csv(made, evidence).splitlines()
    assert lines[0].startswith("strategy,final_wealth,total_return,cagr,")
    assert lines[2].startswith("olmar_2,1.02195481547")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.name=nyse", "unknown set name='nyse'; choose one of djia, msci"),
        ("data.reversed=maybe", "reversed"),
        ("cost.rate=0.7", "cost.rate must be a fraction in [0, 0.5), got 0.7"),
        ("cost.rate=-0.1", "cost.rate"),
        ("cost.model=free", "unknown cost.model 'free'; known: notional"),
        ("+evaluation.baselines.olmar={}", "did you mean olmar_"),
        ("evaluation.baselines.eg.eta=-1", "eg: eta must be a number >= 0"),
        ("agent=ppo", "tests on every row"),
    ],
)
def test_bad_input_of_the_recipe(tmp_path, override, words):
    market("nyse_o")
    alone = [f"evaluation.baselines.{name}=null" for name in ONLINE if name not in ("eg", "ucrp")]
    with pytest.raises(InputError, match=re.escape(words)):
        run(tmp_path, *alone, override)
