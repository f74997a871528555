"""Price processes against slow twins, bit for bit alone and in batches, and bad parameters."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.market import process_kernels as kernels
from envs.market.processes import (
    Bootstrap,
    Garch,
    GeometricBrownian,
    Heston,
    JumpDiffusion,
    MeanReverting,
    Mixture,
    Process,
    Randomised,
    RegimeSwitching,
)
from tests import reference_processes as twins

PANEL = synthetic(n_rows=40, n_assets=3, seed=5)
GBM = GeometricBrownian(drift=[0.1, -0.2, 0.05], volatility=[0.1, 0.3, 0.2], correlation=0.4)
FACTORS = MeanReverting(
    loadings=[[1.0, 0.5], [0.0, -2.0], [-1.0, 1.0]],
    reversion=[0.3, 0.02],
    factor_volatility=[0.01, 0.002],
    volatility=[0.2, 0.3, 0.1],
    correlation=[[1.0, 0.5, 0.1], [0.5, 1.0, -0.2], [0.1, -0.2, 1.0]],
    cash_rate=0.03,
)
REGIMES = RegimeSwitching(
    drift=[[0.2, 0.1], -0.4, [0.0, 0.3]],
    volatility=[0.1, [0.3, 0.2], 0.5],
    correlation=0.6,
    transition=[[0.9, 0.06, 0.04], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]],
)
HESTON = Heston(
    drift=[0.05, 0.1],
    mean_variance=[0.04, 0.09],
    reversion=[5.0, 2.0],
    volatility_of_variance=[0.5, 0.9],  # the second touches zero
    leverage=[-0.7, 0.3],
    correlation=-0.3,
    substeps=3,
)
JUMPS = JumpDiffusion(
    drift=[0.1, 0.0],
    volatility=[0.1, 0.3],
    correlation=0.5,
    jump_intensity=[30.0, 600.0],
    jump_mean=[-0.05, 0.01],
    jump_volatility=[0.02, 0.03],
)
GARCH = Garch(
    mean=[0.001, 0.0, 0.0],
    omega=[2e-6, 1e-5, 3e-6],
    alpha=[0.05, 0.1, 0.02],
    beta=[0.9, 0.8, 0.9],
    gamma=[0.04, 0.0, 0.1],
    dof=[np.inf, 3.5, 8.0],
    correlation=0.3,
    burn_in=20,
)
BOOTSTRAP = Bootstrap(market=PANEL, mean_block=4.0)
TWINS = {
    twins.geometric_brownian: GBM,
    twins.mean_reverting: FACTORS,
    twins.regime_switching: REGIMES,
    twins.heston: HESTON,
    twins.jump_diffusion: JUMPS,
    twins.garch: GARCH,
    twins.bootstrap: BOOTSTRAP,
}
RANDOMISED = Randomised(
    process=HESTON,
    ranges={
        "mean_variance": [0.02, 0.1],
        "leverage": [[-0.9, 0.1], [0.0, 0.4]],
        "correlation": [0, 0.5],
    },
)
MIXTURE = Mixture(
    processes=[
        GARCH,
        replace(GARCH, alpha=0.01),
        Randomised(process=GARCH, ranges={"mean": [0, 1e-3]}),
    ],
    shares=[0.5, 0.2, 0.3],
)
ALL = [
    *TWINS.values(),
    RANDOMISED,
    MIXTURE,
    replace(REGIMES, observe="state"),
    replace(REGIMES, observe="return"),
]  # fmt: skip
each_process = pytest.mark.parametrize("process", ALL, ids=lambda p: type(p).__name__)


def seeds(n, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def bits(paths):
    return [part.tobytes() for part in (paths.growth, paths.state, paths.observed)]


# ------------------------------------------------------------------ kernels
def test_random_words_are_those_published():
    state, found = np.uint64(1234567), []
    for _ in range(5):
        state = np.uint64((int(state) + int(kernels.GOLDEN)) % 2**64)
        found.append(int(kernels.mix_nb(state)))
    assert found == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
        4593380528125082431, 16408922859458223821,
    ]  # fmt: skip
    assert found == [stream.word() for stream in [twins.Stream(1234567)] for _ in range(5)]


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
def test_kernels_equal_their_twins(twin):
    process, given = TWINS[twin], np.append(seeds(20), np.array([0, 2**64 - 1], np.uint64))
    paths = process.simulate(given, 25)
    for i, seed in enumerate(given):
        growth, state = twin(process, seed, 25)
        np.testing.assert_allclose(paths.growth[i], growth, rtol=1e-12, atol=0)
        np.testing.assert_allclose(paths.state[i], state, rtol=1e-12, atol=1e-18)


def test_gamma_variates_of_small_shape_equal_their_twin():
    process = Heston(mean_variance=0.01, reversion=1.0, volatility_of_variance=0.4)
    paths = process.simulate(seeds(50), 1)
    expected = [twins.heston(process, seed, 1)[1] for seed in seeds(50)]
    np.testing.assert_allclose(paths.state, expected, rtol=1e-11, atol=1e-300)


def test_beliefs_are_those_of_bayes_over_all_histories():
    process = RegimeSwitching(
        drift=[0.5, -0.9, 0.0],
        volatility=[0.1, 0.3, 0.5],
        transition=[[0.9, 0.06, 0.04], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]],
    )
    paths = process.simulate(seeds(5), 7)
    for i in range(5):
        for k in (0, 1, 2, 7):
            expected = twins.belief_by_enumeration(process, paths.growth[i, :k, 0])
            np.testing.assert_allclose(paths.observed[i, k, 0], expected, rtol=1e-6)
            found = process.belief(paths.growth[i : i + 1, :k])
            np.testing.assert_allclose(found[0, -1], expected, rtol=1e-11)


def test_beliefs_are_those_of_statsmodels_on_a_long_path():
    process = RegimeSwitching()
    growth = process.simulate(seeds(1), 3000).growth
    model = MarkovRegression(np.log(growth[0, :, 0]), k_regimes=2, switching_variance=True)
    variance = process.volatility[:, 0] ** 2 * process.dt
    means = process.drift[:, 0] * process.dt - variance / 2
    known = model.filter([*process.transition[:, 0], *means, *variance])
    after = known.filtered_marginal_probabilities @ process.transition
    np.testing.assert_allclose(process.belief(growth)[0, 1:], after, rtol=1e-9, atol=1e-12)


def test_beliefs_of_two_assets_use_their_covariance():
    # Density of two correlated normals, written out; one step, so that Bayes' rule is one line.
    paths = replace(REGIMES, observe="belief").simulate(seeds(20), 1)
    logs, rho = np.log(paths.growth[:, 0]), 0.6
    sd = REGIMES.volatility * np.sqrt(REGIMES.dt)
    x, y = np.moveaxis((logs[:, None] - (REGIMES.drift * REGIMES.dt - sd**2 / 2)) / sd, 2, 0)
    density = np.exp(-(x**2 - 2 * rho * x * y + y**2) / (2 * (1 - rho**2))) / sd.prod(axis=1)
    posterior = density * REGIMES.stationary
    posterior /= posterior.sum(axis=1, keepdims=True)
    found = REGIMES.belief(paths.growth)[:, 1]
    np.testing.assert_allclose(found, posterior @ REGIMES.transition, rtol=1e-12)


def test_a_belief_of_a_regime_that_is_ruled_out_stays_zero():
    process = RegimeSwitching(transition=[[1.0, 0.0], [0.05, 0.95]], volatility=[0.01, 0.9])
    # Ten standard deviations of the regime that it must be, and nothing for the other.
    belief = process.belief(np.full((1, 3, 1), 1.5))
    assert belief.tolist() == [[[1.0, 0.0]] * 4]


# ------------------------------------------------------------------ contract
@each_process
def test_shapes_bounds_and_names(process):
    paths, n_features = process.simulate(seeds(6), 30), len(process.observed_names)
    assert paths.growth.shape == (6, 30, process.n_assets)
    assert paths.growth.dtype == paths.state.dtype == np.float64
    assert paths.state.shape[:2] == (6, 31)
    assert paths.observed.shape == (6, 31, process.n_assets, n_features)
    assert paths.observed.dtype == np.float32
    assert (paths.growth > 0).all() and np.isfinite(paths.growth).all()
    assert (np.abs(paths.observed) <= 10).all()
    assert len(process.symbols) == process.n_assets


@each_process
def test_a_path_depends_on_its_own_seed_alone(process):
    given = seeds(9)
    together = process.simulate(given, 40)
    for i in range(9):
        alone = process.simulate(given[i : i + 1], 40)
        assert bits(alone) == [
            part[i].tobytes() for part in (together.growth, together.state, together.observed)
        ]
    turned = process.simulate(given[::-1], 40)
    assert turned.growth[::-1].tobytes() == together.growth.tobytes()
    assert process.simulate(given, 40).growth.tobytes() == together.growth.tobytes()


@each_process
def test_a_path_begins_every_longer_one_so_nothing_observed_knows_what_follows(process):
    short, long = process.simulate(seeds(5), 13), process.simulate(seeds(5), 40)
    assert short.growth.tobytes() == long.growth[:, :13].tobytes()
    assert short.state.tobytes() == long.state[:, :14].tobytes()
    assert short.observed.tobytes() == long.observed[:, :14].tobytes()


@each_process
def test_no_paths_are_no_error(process):
    assert process.simulate(np.empty(0, np.uint64), 5).growth.shape == (0, 5, process.n_assets)


def test_what_is_observed_is_what_is_said():
    paths = FACTORS.simulate(seeds(4), 20)
    unit = paths.state / FACTORS.factor_volatility
    expected = np.sign(FACTORS.loadings) * unit[:, :, None, :]
    np.testing.assert_allclose(paths.observed, expected, rtol=1e-6)
    paths = replace(REGIMES, observe="state").simulate(seeds(4), 20)
    assert (paths.observed.argmax(axis=3) == paths.state).all()
    assert (paths.observed.sum(axis=3) == 1).all()
    paths = replace(REGIMES, observe="return").simulate(seeds(4), 20)
    assert (paths.observed[:, 0] == 0).all()
    ratio = np.log(paths.growth) / paths.observed[:, 1:, :, 0]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0, 0], ratio.shape), rtol=1e-5)
    paths = GARCH.simulate(seeds(4), 20)
    expected = np.log(paths.state / GARCH.long_run_variance)
    np.testing.assert_allclose(paths.observed[..., 0], expected, rtol=1e-5, atol=1e-6)
    paths = HESTON.simulate(seeds(40), 20)
    expected = np.log(np.maximum(paths.state / HESTON.mean_variance, 1e-4))
    np.testing.assert_allclose(paths.observed[..., 0], expected, rtol=1e-5, atol=1e-6)
    assert (paths.state == 0).any() and paths.observed.min() == np.float32(np.log(1e-4))


def test_a_fall_below_the_floor_is_cut():
    process = MeanReverting(volatility=20.0)
    growth = process.simulate(seeds(50), 50).growth
    assert growth.min() == 0.01


# ------------------------------------------------------------------ made of others
def test_a_randomised_path_is_one_of_the_process_with_its_parameters():
    for process in (RANDOMISED, Randomised(process=REGIMES, ranges={"drift": [-1, 1]})):
        given = seeds(6)
        drawn, paths = process.drawn(given), process.simulate(given, 30)
        for i in range(6):
            changes = {
                name: float(value[i]) if name == "correlation" else value[i]
                for name, value in drawn.items()
            }
            alone = replace(process.process, **changes).simulate(given[i : i + 1], 30)
            assert bits(alone) == [
                part[i].tobytes() for part in (paths.growth, paths.state, paths.observed)
            ]


def test_randomised_parameters_are_uniform_and_not_tied_to_the_prices():
    process = Randomised(process=GBM, ranges={"drift": [0, [1, 2, 4]], "correlation": [-0.2, 0.8]})
    given = seeds(20_000)
    drawn = process.drawn(given)
    columns = np.column_stack([drawn["drift"] / [1, 2, 4], drawn["correlation"] + 0.2])
    assert columns.min() > 0 and columns.max() < 1
    error = 1 / np.sqrt(12 * len(given))
    assert (np.abs(columns.mean(axis=0) - 0.5) < 4.5 * error).all()
    assert np.abs(columns.var(axis=0) - 1 / 12).max() < 0.002
    z = GBM.simulate(given, 1).growth[:, 0]
    between = np.corrcoef(np.column_stack([columns, np.log(z)]), rowvar=False)
    assert np.abs(np.r_[between[:4, 4:].ravel(), between[:3, 3]]).max() < 4.5 / np.sqrt(len(given))


def test_a_path_of_a_mixture_is_one_of_its_processes():
    given = seeds(3000)
    chosen, paths = MIXTURE.chosen(given), MIXTURE.simulate(given, 5)
    for number, process in enumerate(MIXTURE.processes):
        of_it = chosen == number
        assert process.simulate(given[of_it], 5).growth.tobytes() == paths.growth[of_it].tobytes()
        share = MIXTURE.shares[number]
        assert abs(of_it.mean() - share) < 4.5 * np.sqrt(share * (1 - share) / len(given))


# ------------------------------------------------------------------ errors
BAD = {
    "drift=.* 2 entries for 3 assets": lambda: replace(GBM, drift=[1, 2]),
    "volatility=.*>= 0": lambda: GeometricBrownian(volatility=[0.1, -0.1]),
    "drift=.*finite": lambda: GeometricBrownian(drift=float("nan")),
    "drift=0.1 must be a number": lambda: GeometricBrownian(drift="0.1"),
    "volatility=.*lists of numbers": lambda: GeometricBrownian(volatility=[[0.1], [0.1, 0.2]]),
    "drift=None": lambda: Heston(drift=None),
    "drift=.*one number or a list": lambda: GeometricBrownian(drift=[[0.1]]),
    "correlation=.*positive definite": lambda: replace(GBM, correlation=-0.6),
    "correlation=1.0.*positive definite": lambda: replace(GBM, correlation=1.0),
    "correlation=.*3 rows of 3": lambda: replace(GBM, correlation=np.eye(2)),
    "correlation=.*symmetric": lambda: replace(
        GBM, correlation=[[1, 0.5, 0], [0.4, 1, 0], [0, 0, 1]]
    ),
    "periods_per_year": lambda: GeometricBrownian(periods_per_year=0.0),
    "cash_rate": lambda: GeometricBrownian(cash_rate=-300.0),
    "loadings": lambda: MeanReverting(loadings=[1.0, 2.0]),
    "reversion=.*in \\(0, 1\\]": lambda: replace(FACTORS, reversion=[0.1, 1.5]),
    "reversion=.*columns": lambda: replace(FACTORS, reversion=[0.1, 0.1, 0.1]),
    "volatility=.*rows": lambda: replace(FACTORS, volatility=[0.1] * 4),
    "factor_volatility=.*> 0": lambda: replace(FACTORS, factor_volatility=0.0),
    "transition=.*sum to 1": lambda: RegimeSwitching(transition=[[0.9, 0.2], [0.1, 0.9]]),
    "transition=.*>= 0": lambda: RegimeSwitching(transition=[[1.1, -0.1], [0.1, 0.9]]),
    "transition=.*square": lambda: RegimeSwitching(transition=[[0.9, 0.1]]),
    "transition=.*never meet": lambda: RegimeSwitching(transition=np.eye(2)),
    "drift=.*each of the 2 regimes": lambda: RegimeSwitching(drift=[0.1, 0.2, 0.3]),
    "volatility=.*> 0": lambda: RegimeSwitching(volatility=[0.1, 0.0]),
    "drift=.*1 or 3 entries": lambda: replace(REGIMES, volatility=[[0.1] * 3, [0.1] * 2, 0.1]),
    "observe=all.*state, belief, return": lambda: RegimeSwitching(observe="all"),
    "mean_variance=.*> 0": lambda: Heston(mean_variance=0.0),
    "leverage=.*\\[-1, 1\\]": lambda: Heston(leverage=-1.2),
    "reversion=.*raise substeps": lambda: Heston(reversion=400.0),
    "volatility_of_variance=.*>= 0": lambda: Heston(volatility_of_variance=-0.1),
    "substeps=0": lambda: Heston(substeps=0),
    "jump_volatility=.*>= 0": lambda: JumpDiffusion(jump_volatility=-1.0),
    "jump_intensity=.*100 jumps": lambda: JumpDiffusion(jump_intensity=26_000.0),
    "alpha . beta . gamma / 2 = 1.05": lambda: Garch(alpha=0.1, beta=0.9, gamma=0.1),
    "omega=.*> 0": lambda: Garch(omega=0.0),
    "gamma=.*>= -alpha": lambda: Garch(alpha=0.05, gamma=-0.1),
    "dof=.*> 2": lambda: Garch(dof=2.0),
    "dof=.*nan": lambda: Garch(dof=np.nan),
    "burn_in=-1": lambda: Garch(burn_in=-1),
    "mean_block=0.5": lambda: Bootstrap(market=PANEL, mean_block=0.5),
    "market=7": lambda: Bootstrap(market=7),
    "ranges has 'speed'.*drift": lambda: Randomised(process=GBM, ranges={"speed": [0, 1]}),
    "low <= high": lambda: Randomised(process=GBM, ranges={"drift": [1, 0]}),
    "of the shape \\(3,\\)": lambda: Randomised(process=GBM, ranges={"drift": [[1, 2], [3, 4]]}),
    "low ends: GeometricBrownian: vol": lambda: Randomised(
        process=GBM, ranges={"volatility": [-1, 1]}
    ),
    "high ends: GeometricBrownian: corr": lambda: Randomised(
        process=GBM, ranges={"correlation": [0, 1]}
    ),
    "ranges={}": lambda: Randomised(process=GBM, ranges={}),
    "no parameters to draw": lambda: Randomised(process=RANDOMISED, ranges={"drift": [0, 1]}),
    "differ in n_assets": lambda: Mixture(processes=[GBM, JUMPS]),
    "differ in observed_names": lambda: Mixture(processes=[HESTON, JUMPS]),
    "differ in cash_rate": lambda: Mixture(processes=[GBM, replace(GBM, cash_rate=0.1)]),
    "shares=.*sum to 1": lambda: Mixture(processes=[GBM, GBM], shares=[0.5, 0.4]),
    "shares=.*list of 2": lambda: Mixture(processes=[GBM, GBM], shares=[1.0]),
    "processes=.*list": lambda: Mixture(processes=[]),
    "n_steps=0": lambda: GBM.simulate(seeds(1), 0),
    "seeds .*uint64, got int64": lambda: GBM.simulate(np.arange(3), 5),
    "seeds .*uint64, got \\[1, 2\\]": lambda: GBM.simulate([1, 2], 5),
    "seeds .*uint64 \\(1, 2\\)": lambda: GBM.simulate(np.ones((1, 2), np.uint64), 5),
    "growth must be": lambda: REGIMES.belief(np.ones((2, 3, 1))),
    "Heston.fit is not defined": lambda: Heston.fit(PANEL),
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    with pytest.raises(InputError, match=message):
        BAD[message]()


def test_regimes_that_meet_are_never_refused():
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 6):
        for chances in rng.dirichlet(np.full(size, 0.3), (200, size)):
            process = RegimeSwitching(drift=0.1, volatility=0.2, transition=chances)
            left = process.stationary @ process.transition - process.stationary
            assert np.abs(left).max() < 1e-12


def test_a_bootstrap_needs_assets_that_traded_throughout():
    tradable = np.ones(PANEL.close.shape, bool)
    tradable[7, 1] = False
    with pytest.raises(InputError, match="S01 did not trade on 2000-01-12"):
        Bootstrap(market=replace(PANEL, tradable=tradable))


def test_parameters_cannot_be_changed_behind_the_back():
    drift = np.array([0.1, 0.2])
    process = GeometricBrownian(drift=drift)
    drift[:] = 9
    assert process.drift.tolist() == [0.1, 0.2] and process.volatility.tolist() == [0.2, 0.2]
    with pytest.raises(ValueError, match="read-only"):
        process.drift[0] = 1


def test_the_base_class_names_what_is_missing():
    with pytest.raises(NotImplementedError):
        Process().simulate(seeds(1), 1)


def test_importing_processes_compiles_nothing_and_does_not_load_numba():
    program = (
        "import sys, envs.market.processes\n"
        "assert 'numba' not in sys.modules\n"
        "import envs.market.process_kernels as k\n"
        "made = [f for f in vars(k).values() if hasattr(f, 'signatures')]\n"
        "assert len(made) > 10 and not any(f.signatures for f in made)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
