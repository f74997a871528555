"""Observations, baselines and agents where assets list, halt and delist."""

from dataclasses import replace

import numpy as np
import pytest

from agents.rollout import rollout
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.features import RollingScaler, StandardScaler, build_features
from envs.features.causality import change_after
from envs.features.panel import FeaturePanel
from envs.portfolio import PortfolioEnv
from envs.simulation import make_setting
from envs.vector import PortfolioVectorEnv
from tests import reference_listings as reference
from tests.gaps import BASELINES, EXECUTIONS, env_of, gappy, play, with_halts


# ------------------------------------------------------------------ observations
def test_the_mask_is_the_last_feature_of_every_asset_and_weights_stay_last():
    market = gappy()
    panel = build_features(market, ["return_1", "rsi_14"])
    scaled = StandardScaler().fit(panel, 20, 60).transform(panel)
    env = env_of(market, scaled, window=3, start=48, action="simplex")
    observation, info = env.reset(seed=0)
    t, n_assets = info["t"], market.n_assets
    for _ in range(15):
        rows = observation[: -n_assets - 1].reshape(3, n_assets, 3)
        assert (rows[..., 2] == market.tradable[t - 2 : t + 1]).all()
        assert (rows[..., :2] == scaled.values[t - 2 : t + 1]).all()
        assert env.observation_space.contains(observation)
        observation, _, _, _, info = env.step(np.full(n_assets + 1, 1 / (n_assets + 1)))
        t = info["t"]
    assert (
        observation[-n_assets - 1 :] == env.simulation.state.weights[0].astype(np.float32)
    ).all()


def test_indexed_observations_say_what_is_tradable_on_the_row_of_the_decision():
    market = gappy()
    env = env_of(market, observation="indexed", start=48, action="simplex")
    observation, _ = env.reset(seed=0)
    for _ in range(15):
        assert set(observation) == {"t", "weights", "tradable"}
        assert env.observation_space.contains(observation)
        assert (observation["tradable"] == market.tradable[observation["t"][0]]).all()
        observation = env.step(np.ones(market.n_assets + 1))[0]


def test_panels_without_gaps_keep_their_observations():
    market = synthetic(n_rows=30, n_assets=3, seed=0)
    assert env_of(market, window=2).observation_space.shape == (4,)
    indexed = env_of(market, observation="indexed")
    assert set(indexed.observation_space.spaces) == {"t", "weights"}
    # In a window of a panel with gaps the mask is there even where all trade: every window of a
    # panel has observations of one size.
    tail = env_of(gappy(), start=70, stop=85)
    assert tail.observation_space.shape == (5 + 6,)


def test_unknown_features_are_zero_only_where_nothing_can_be_known():
    market = gappy()
    values = np.ones((market.n_rows, market.n_assets, 2), np.float32)
    values[~market.tradable] = np.nan
    values[30:34, 1] = np.nan  # the warm-up of asset 1 after its listing
    panel = FeaturePanel(values, ("a", "b"), warmup=4)
    env = env_of(market, panel, start=20)
    made = env.setting.features.reshape(market.n_rows, market.n_assets, 3)
    assert np.isfinite(made).all()
    assert (made[..., :2] == np.nan_to_num(values)).all()
    for row, asset in ((34, 1), (30, 0), (53, 2)):
        broken = values.copy()
        broken[row, asset, 1] = np.nan
        with pytest.raises(InputError, match="features run from nan"):
            env_of(market, FeaturePanel(broken, ("a", "b"), warmup=4), start=20)


@pytest.mark.parametrize("scaler", [StandardScaler(), RollingScaler(window=10)])
def test_scalers_learn_from_what_is_known_and_leave_no_nan(scaler):
    market = gappy()
    panel = build_features(market, ["return_1", "volatility_10"])
    fitted = scaler.fit(panel, 0, 60)
    if isinstance(scaler, StandardScaler):
        known = panel.values[panel.warmup : 60, :, 1].astype(float)
        assert fitted.center[1] == pytest.approx(np.nanmean(known), rel=1e-12)
        assert fitted.scale[1] == pytest.approx(np.nanstd(known), rel=1e-12)
    scaled = fitted.transform(panel)
    assert np.isfinite(scaled.values).all()
    assert (scaled.values[~market.tradable] == 0).all()
    env_of(market, scaled).reset(seed=0)


def test_rows_on_which_nothing_trades_are_refused_with_the_ways_out():
    market = with_halts(synthetic(n_rows=30, n_assets=2, seed=0), slice(20, 22), slice(0, 2))
    message = r"nothing is tradable on .*, 2 such row\(s\).*data\.start"
    with pytest.raises(InputError, match=message):
        env_of(market)
    env_of(market, stop=20)
    env_of(market, start=22)


# ------------------------------------------------------------------ one and many, and the future
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("observation", ["flat", "indexed"])
def test_many_portfolios_are_the_bits_of_one(execution, observation):
    market = gappy()
    keywords = {
        "observation": observation, "execution": execution, "episode_length": 25,
        "random_start": True, "random_weights": True, "window": 2,
    }  # fmt: skip
    setting = make_setting(market, **keywords)
    many = [PortfolioVectorEnv.from_setting(setting, 5, threads=threads) for threads in (1, 2)]
    ones = [PortfolioEnv.from_setting(setting) for _ in range(5)]
    seen = [envs.reset(seed=7)[0] for envs in many]
    alone = [env.reset(seed=7 + i)[0] for i, env in enumerate(ones)]
    rng = np.random.default_rng(1)

    def bits(part):
        parts = part.values() if isinstance(part, dict) else [part]
        return b"".join(np.ascontiguousarray(p).tobytes() for p in parts)

    def row(batch, i):
        return {k: v[i] for k, v in batch.items()} if isinstance(batch, dict) else batch[i]

    for i in range(5):
        assert bits(row(seen[0], i)) == bits(alone[i])
        assert (
            ones[i].simulation.state.weights[0, :-1][~market.tradable[ones[i]._when()["t"]]] == 0
        ).all()
    for _ in range(60):
        actions = rng.uniform(-1, 1, (5, market.n_assets + 1))
        steps = [envs.step(actions) for envs in many]
        assert bits(steps[0][0]) == bits(steps[1][0])
        for i, env in enumerate(ones):
            observation, reward, terminated, truncated, info = env.step(actions[i])
            assert reward == steps[0][1][i] and info["value"] == steps[0][4]["value"][i]
            if terminated or truncated:
                assert bits(steps[0][4]["final_obs"][i]) == bits(observation)
                observation, _ = env.reset()
            assert bits(row(steps[0][0], i)) == bits(observation)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("row", [28, 49, 51, 55, 66, 67, 70])
def test_the_future_changes_nothing_up_to_today(execution, row):
    """Prices, halts and delistings after `row` are others, or the panel ends there: observations up
    to it and what the steps up to it did are the same bits. In a halt (51) nobody knows from the
    panel's end that it lasts: a delisting is declared on its row."""
    market = gappy()
    names = ["return_1", "volatility_10"]
    past = {}
    for other, panel in (
        ("as it was", market),
        ("changed", change_after(market, row, seed=3)),
        ("cut", market.rows(0, row + 1)),
    ):
        scaled = RollingScaler(window=5).transform(build_features(panel, names))
        env = env_of(panel, scaled, cost=0.001, execution=execution, start=20, window=2)
        seen = [env.reset(seed=0)[0]]
        told = []
        rng = np.random.default_rng(0)
        for _ in range(20, row):
            observation, reward, _, _, info = env.step(rng.uniform(-1, 1, 6))
            seen.append(observation)
            told.append([reward, info["value"], info["asset_return"], *info["weights"]])
        past[other] = np.array(seen).tobytes(), np.array(told).tobytes()
    assert past["changed"] == past["as it was"]
    assert past["cut"] == past["as it was"]


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_blind_to_the_future_and_hold_nothing_unlisted(name):
    market, row, start = gappy(n_rows=110), 70, 25
    one, two = (
        play(name, panel, 0.001, "next_close", start=start)
        for panel in (market, change_after(market, row, seed=1))
    )
    steps = row - start
    assert one.weights[: steps - 1].tobytes() == two.weights[: steps - 1].tobytes()
    listed = np.array([[reference.listed(market, t, a) for a in range(5)] for t in range(110)])
    executed = listed[start + 1 :][: len(one.weights)]
    assert (one.weights[:, :-1][~executed] == 0).all()
    assert one.weights.sum(axis=1) == pytest.approx(np.ones(len(one.weights)))
    assert one.weights.min() > -1e-12
    assert one.weights[:, 3].max() > 0 or name == "maximum_sharpe"
    # What asset 3 paid is in the others by now.
    assert one.weights[-1, -1] < 1e-9 or name == "buy_and_hold"
    # Nothing is traded in the halt: in rows 50 to 52 the holding moves with the others alone.
    held = one.weights[:, 2] * one.value[1:]
    halt = [t - start - 1 for t in (49, 50, 51, 52)]
    assert held[halt] == pytest.approx(np.full(4, held[halt[0]]), rel=5e-3, abs=1e-12)


# ------------------------------------------------------------------ learning and the whole path
@pytest.mark.parametrize("observation", ["flat", "indexed"])
@pytest.mark.parametrize("agent", ["ppo", "ppo-assets", "ddpg"])
def test_agents_learn_on_a_panel_with_gaps(agent, observation, tmp_path):
    from agents.sb3 import DDPG, PPO
    from agents.training import train

    small_ppo = PPO(total_steps=256, num_envs=8, n_steps=16, batch_size=64, evaluations=2)
    made = {
        "ppo": small_ppo,
        "ppo-assets": replace(small_ppo, architecture="assets", network=(8, 8)),
        "ddpg": DDPG(
            total_steps=200, num_envs=4, learning_starts=50, batch_size=32, buffer_size=200,
            evaluations=2,
        ),
    }[agent]  # fmt: skip
    market = gappy()
    panel = build_features(market, ["return_1", "volatility_10"])
    features = StandardScaler().fit(panel, 15, 55).transform(panel)
    keywords = {"observation": observation, "window": 3}
    training = make_setting(
        market, features, start=15, stop=56, episode_length=20, random_start=True, **keywords
    )
    validation = make_setting(market, features, start=56, **keywords)
    trained = train(made, training, validation, seed=0, folder=tmp_path)
    trajectory = rollout(trained.policy, PortfolioEnv.from_setting(validation))
    assert np.isfinite(trajectory.value).all()
    assert (trajectory.weights[12:, 3] == 0).all()  # left on row 67


@pytest.mark.slow
def test_a_file_with_gaps_runs_from_prices_to_report(tmp_path):
    from experiments.evaluation.trajectory_store import load_trajectories
    from experiments.pipeline import run
    from tests.test_pipeline import config

    market = synthetic(n_rows=600, n_assets=5, seed=4)
    lines = ["date," + ",".join(market.symbols)]
    for t, day in enumerate(market.dates.astype("datetime64[D]")):
        cells = [f"{p:.4f}" for p in market.close[t]]
        cells[1] = cells[1] if t >= 150 else ""  # lists late
        cells[2] = "" if 300 <= t < 303 or t == 520 else cells[2]  # halts
        cells[3] = cells[3] if t < 530 else ""  # leaves, in the test window
        lines.append(",".join([str(day), *cells]))
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(lines) + "\n")
    cfg = config(
        "+exp=smoke", "data=file", f"data.path={path}", "data.fill=ffill",
        f"data.delisting_value={{{market.symbols[3]}: 0.3}}", "n_seeds=1",
    )  # fmt: skip
    assert np.isfinite(run(cfg, tmp_path / "run"))
    stored = load_trajectories(tmp_path / "run" / "trajectories.h5")
    mix = stored["equal_weight"][0]
    assert mix.n_listed.tolist() == sorted(mix.n_listed.tolist(), reverse=True)
    assert {4, 5} == set(mix.n_listed.tolist())
    assert (mix.weights[mix.n_listed == 4, 3] == 0).all()
