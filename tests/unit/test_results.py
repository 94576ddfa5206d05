"""What a run leaves behind: list, data, report, files; whole or not there at all."""

from __future__ import annotations

import csv
import io
import stat
from pathlib import Path

import pytest

import backtest_kit as bk
from tests.worlds import SYMBOL, approx, at, flat, fresh_world, given, long, once, run, walk

world = pytest.fixture(autouse=True)(fresh_world)

RULES = {"exit_rule": "stop_touch", "fill_rule": "level"}


def one_trade():
    given(flat(201, {20: 103}))
    bk.add_strategy("s", once(long(102, 98, 60, note="a | note, with *marks*")))
    return run(**RULES)


def many_trades(symbols=(SYMBOL,)):
    given({symbol: walk(2000, number) for number, symbol in enumerate(symbols)}, frame=(10, 1990))

    @bk.strategy("s")
    def get_signal(symbol, when, price):
        return bk.Signal.bracket("long", price, take_profit_percent=1, stop_loss_percent=1)

    return run(list(symbols))


# ---- data ----


def test_the_data_are_the_closed_trades_and_all_metrics():
    event = one_trade()[-1]
    data = bk.Backtest.get_data(SYMBOL, strategy_name="s", exchange_name="memory", frame_name="frame")
    (trade,) = data.trades
    assert (trade.symbol, trade.strategy_name, trade.position, trade.close_reason) == (
        SYMBOL,
        "s",
        "long",
        "take_profit",
    )
    assert (trade.opened_at, trade.closed_at, trade.duration_minutes) == (at(10), at(23), 13)
    assert (trade.price_open, trade.price_close, trade.cost) == (100.0, 102.0, 100.0)
    assert trade.pnl_percent == event.pnl.percent == approx(1.5944075924075942)
    assert trade.pnl_cost == approx(1.5944075924075942)
    assert (data.total_trades, data.win_rate, data.total_pnl) == (1, 100.0, trade.pnl_percent)
    assert data.sharpe_ratio is None
    with pytest.raises(AttributeError, match="no_such_metric"):
        _ = data.no_such_metric


def test_the_facts_say_what_else_happened():
    one_trade()
    facts = bk.Backtest.get_data().facts
    assert (facts.candles, facts.decisions, facts.no_signal) == (190, 178, 177)
    assert (facts.start, facts.stop, facts.frame_name) == (at(10), at(200), "frame")
    assert facts.settings == {
        "exit_rule": "stop_touch",
        "fill_rule": "level",
        **{name: getattr(bk.get_config(), name) for name in ("data_folder", "dump_folder")},
        "candle_retry_delay_seconds": 0.0,
        "cache_candles": False,
    }


def test_the_trades_of_all_books_stand_by_closing_time_and_those_of_one_can_be_asked_for():
    many_trades(("A", "B", "C"))
    every, one = bk.Backtest.get_data(), bk.Backtest.get_data("B")
    assert [trade.closed_at for trade in every.trades] == sorted(trade.closed_at for trade in every.trades)
    assert one.trades == tuple(trade for trade in every.trades if trade.symbol == "B")
    assert len(one.trades) > 0
    assert one.facts.symbols == ("B",)
    assert every.total_trades == sum(bk.Backtest.get_data(symbol).total_trades for symbol in "ABC")


def test_data_and_report_can_be_read_while_the_run_goes_on():
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 3))
    counts = []
    for event in bk.Backtest.run(SYMBOL):
        counts.append((event.action, len(bk.Backtest.get_data().trades), bk.Backtest.list()[0].status))
        assert "# Backtest of s on BTCUSDT" in bk.Backtest.get_report()
    assert counts[:4] == [
        ("opened", 0, "running"),
        ("closed", 1, "running"),
        ("opened", 1, "running"),
        ("closed", 2, "running"),
    ]


def test_the_list_has_the_latest_run_of_every_combination():
    given({"A": flat(100), "B": flat(100)}, frame=(10, 50))
    bk.add_strategy("s", once(long(102, 98, 3)))
    run("A")
    run(["A", "B"])
    run("A", fill_rule="level")
    listed = [(status.symbols, status.status, status.trades) for status in bk.Backtest.list()]
    assert listed == [(("A", "B"), "finished", 2), (("A",), "finished", 1)]
    assert len(bk.Backtest.get_data("B").trades) == 1
    assert bk.Backtest.get_data("A").facts.settings["fill_rule"] == "level"


def test_what_was_never_run_has_no_data():
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", once(None))
    for ask in (bk.Backtest.get_data, bk.Backtest.get_report, bk.Backtest.dump):
        with pytest.raises(bk.ConfigError, match="no backtest of BTCUSDT has been run"):
            ask(SYMBOL)
    with pytest.raises(bk.UnknownNameError, match="'s'"):
        bk.Backtest.get_data(SYMBOL, strategy_name="ss")


async def test_answers_may_be_awaited():
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", once(long(102, 98, 3)))
    results = [event async for event in bk.Backtest.run(SYMBOL)]
    assert len(results) == 2
    assert (await bk.Backtest.get_data()).total_trades == 1
    assert (await bk.Backtest.get_report()).startswith("# Backtest")
    assert (await bk.Backtest.dump()).exists()


# ---- report ----


def test_the_report_has_the_run_the_metrics_and_the_trades():
    one_trade()
    report = bk.Backtest.get_report()
    for text in (
        "# Backtest of s on BTCUSDT",
        "exit_rule = stop_touch",
        "1.5944",
        "take_profit",
        "Win rate",
        "Decisions: 178",
    ):
        assert text in report
    assert "a | note" not in report


def test_a_run_without_trades_says_so_and_why(tmp_path):
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", once(None))
    assert run() == []
    report = bk.Backtest.get_report()
    assert "No trades were closed." in report
    assert "asked 41 times" in report
    data = bk.Backtest.get_data()
    assert (data.trades, data.total_trades, data.win_rate) == ((), 0, None)
    path = bk.Backtest.dump()
    assert path.read_text("utf-8") == report
    assert len(path.with_suffix(".csv").read_text("utf-8").splitlines()) == 1


def test_a_report_of_many_trades_shows_no_more_rows_than_the_settings_allow():
    many_trades()
    data = bk.Backtest.get_data()
    assert len(data.trades) > 40
    run(max_report_rows=5)
    report = bk.Backtest.get_report()
    assert f"The last 5 of {len(data.trades)}." in report


# ---- files ----


def test_files_go_to_the_dump_folder_under_the_names_of_the_run(tmp_path):
    one_trade()
    path = bk.Backtest.dump()
    assert path == tmp_path / "backtest" / "s_BTCUSDT.md"
    assert path.read_text("utf-8") == bk.Backtest.get_report()
    assert sorted(each.name for each in path.parent.iterdir()) == ["s_BTCUSDT.csv", "s_BTCUSDT.md"]
    (row,) = csv.DictReader(io.StringIO(path.with_suffix(".csv").read_text("utf-8")))
    assert row["symbol"] == SYMBOL
    assert float(row["pnl_percent"]) == approx(1.5944075924075942)


def test_a_path_may_be_a_folder_or_the_name_of_the_report(tmp_path):
    one_trade()
    assert bk.Backtest.dump(path=tmp_path / "here") == tmp_path / "here" / "s_BTCUSDT.md"
    assert bk.Backtest.dump(path=str(tmp_path / "mine.md")) == tmp_path / "mine.md"
    assert (tmp_path / "mine.csv").exists()


def test_names_that_no_file_can_have_are_made_harmless(tmp_path):
    given({"BTC/USDT:USDT": flat(100)}, frame=(10, 50))
    bk.add_strategy("../s *", once(long(102, 98, 3)))
    run("BTC/USDT:USDT")
    path = bk.Backtest.dump()
    assert path.parent == tmp_path / "backtest"
    assert not set(path.name) & set('/\\:*?"<>| ')


def test_dumping_again_replaces_the_files_whole(tmp_path):
    one_trade()
    first = bk.Backtest.dump().read_text("utf-8")
    run(slippage_percent=0.5, **RULES)
    second = bk.Backtest.dump().read_text("utf-8")
    assert first != second == bk.Backtest.get_report()


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path):
    one_trade()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(bk.ConfigError, match=r"file.*cannot be written"):
        bk.Backtest.dump(path=tmp_path / "file" / "deep")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("failing", [".md", ".csv"])
def test_a_file_that_fails_halfway_leaves_the_old_one_and_no_rest(failing, tmp_path, monkeypatch):
    one_trade()
    path = bk.Backtest.dump()
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    replace = Path.replace

    def fail(self, target):
        if Path(target).suffix == failing:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    run(slippage_percent=0.5, **RULES)
    with pytest.raises(bk.ConfigError, match="No space left"):
        bk.Backtest.dump()
    after = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    assert sorted(after) == sorted(before)
    assert after[path.with_suffix(failing).name] == before[path.with_suffix(failing).name]


def test_files_can_be_read_by_others():
    one_trade()
    mode = stat.S_IMODE(bk.Backtest.dump().stat().st_mode)
    assert mode == 0o644


def test_a_run_that_was_broken_off_keeps_its_trades_and_says_so():
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 3) if when < at(20) else 1 / 0)
    with pytest.raises(bk.StrategyError):
        run()
    assert len(bk.Backtest.get_data().trades) == 3
    assert bk.Backtest.list()[0].status == "failed"
