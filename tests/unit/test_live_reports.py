"""Live and paper trading as reports see it: read from the ledger, the same in every process that reads it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import backtest_kit as bk
from backtest_kit.core.events import ActivePing, Event, IdlePing, ProfitReached, SignalClosed, SignalOpened
from backtest_kit.core.position import Milestone, opened, profit
from backtest_kit.core.values import MINUTE, Mode, Signal, Source, Terms
from backtest_kit.stores import stream_of
from tests.unit.cli_calls import SOURCE
from tests.unit.sample_events import EVENTS
from tests.worlds import approx, at, flat, fresh_app, fresh_world, given, long, once, run

world = pytest.fixture(autouse=True)(fresh_world)

TERMS = Terms()
HOUR = 60 * MINUTE
REPORTERS = {
    "schedule": bk.Schedule,
    "heat": bk.Heat,
    "partial": bk.Partial,
    "breakeven": bk.Breakeven,
    "highest_profit": bk.HighestProfit,
    "max_drawdown": bk.MaxDrawdown,
    "risk": bk.Risk,
    "strategy": bk.Strategy,
    "orders": bk.Orders,
}


def of(symbol: str = "BTCUSDT", mode: Mode = "live", strategy_name: str = "sma") -> Source:
    return Source(symbol, strategy_name, "binance", mode=mode)


def kept(folder: Path, source: Source, events: Sequence[Event]) -> Path:
    """The events as the ledger of that data folder has them from a live process; returns the file."""
    ledger, stream = bk.FileLedger(folder / "ledger", durable=False), stream_of(source)
    for event in events:
        ledger.append(stream, replace(event, source=source))
    return ledger.path(stream)


def position(number: int = 0, **fields: Any) -> Any:
    signal = Signal("long", 110.0, 90.0, 100.0, 600, id=f"s-{number}", symbol="BTCUSDT", note="=cmd|x")
    return replace(opened(signal, at(0) + number * HOUR, 100.0, TERMS), **fields)


def a_trade(number: int, price: float) -> list[Event]:
    """A position that is open for half an hour."""
    held = position(number)
    start = at(0) + number * HOUR
    closing = SignalClosed(of(), start + 30 * MINUTE, price, held, profit(held, price, TERMS), "closed")
    return [SignalOpened(of(), start, 100.0, held), closing]


def trades(prices: Sequence[float]) -> list[Event]:
    return [event for number, price in enumerate(prices) for event in a_trade(number, price)]


PRICES = (110.0, 90.0, 104.0, 97.0, 110.0, 110.0, 90.0, 101.0, 99.0, 110.0, 108.0, 95.0)


# ---- the same after a restart ----------------------------------------------------------------------------------------


def test_a_trade_that_a_live_process_has_kept_is_in_the_figures(tmp_path: Path) -> None:
    kept(tmp_path, of(), trades(PRICES))
    data = bk.Live.get_data("BTCUSDT", strategy_name="sma", exchange_name="binance")
    assert data.total_trades == 12
    assert data.win_rate == approx(700 / 12)
    assert data.trades[0].pnl_percent == approx(profit(position(), 110.0, TERMS).percent)
    assert (data.latest.opened, data.latest.closed, data.latest.active) == (12, 12, 0)
    assert [event.action for event in data.events[:2]] == ["opened", "closed"]
    assert data.account.final_balance == approx(10_000 + sum(trade.pnl_cost for trade in data.trades))
    assert data.facts.mode == "live"


def test_a_fresh_process_tells_the_same_figures_as_the_one_before(tmp_path: Path) -> None:
    kept(tmp_path, of(), trades(PRICES))
    data = bk.Live.get_data()
    program = (
        "import json, backtest_kit as bk\n"
        f"bk.set_config(data_folder={str(tmp_path)!r})\n"
        "data = bk.Live.get_data('BTCUSDT')\n"
        "print(json.dumps([data.total_pnl, data.sharpe_ratio, data.account.final_balance, len(data.events)]))\n"
    )
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{program}"
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    told = [data.total_pnl, data.sharpe_ratio, data.account.final_balance, len(data.events)]
    assert json.loads(answer.stdout) == told


def test_what_is_appended_after_the_question_is_in_the_next_answer(tmp_path: Path) -> None:
    kept(tmp_path, of(), trades(PRICES[:5]))
    before = bk.Live.get_data()
    kept(tmp_path, of(), a_trade(5, 104.0))
    assert (before.total_trades, bk.Live.get_data().total_trades) == (5, 6)


def test_the_end_of_a_line_that_a_crash_has_torn_off_is_passed_over(tmp_path: Path) -> None:
    path = kept(tmp_path, of(), trades(PRICES))
    before = bk.Live.get_report()
    with path.open("ab") as file:
        file.write(b'{"n":25,"crc":1,"event":{"action":"clo')
    assert bk.Live.get_report() == before


def test_a_damaged_line_is_named_with_its_file_and_no_figures_are_made_up(tmp_path: Path) -> None:
    path = kept(tmp_path, of(), trades(PRICES))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"100.0", b"101.0", 1)
    path.write_bytes(b"".join(lines))
    for ask in (bk.Live.get_data, bk.Live.get_report, bk.Live.dump, bk.Heat.get_data):
        with pytest.raises(bk.DataError) as caught:
            ask()
        assert f"{path} line 4 is damaged" in str(caught.value)


# ---- several of them -------------------------------------------------------------------------------------------------


def test_two_symbols_are_told_together_and_apart(tmp_path: Path) -> None:
    kept(tmp_path, of("BTCUSDT"), trades(PRICES))
    kept(tmp_path, of("ETHUSDT"), trades(PRICES[:4]))
    assert [len(bk.Live.get_data(symbol).trades) for symbol in (None, "BTCUSDT", "ETHUSDT")] == [16, 12, 4]
    assert [row.symbol for row in bk.Heat.get_data().rows] == ["BTCUSDT", "ETHUSDT"]
    assert bk.Live.get_data().total_trades == bk.Live.get_data().heat.portfolio.total_trades == 16
    assert bk.Live.get_report().startswith("# Live trading of sma on BTCUSDT, ETHUSDT\n")
    times = [event.time for event in bk.Live.get_data().events]
    assert times == sorted(times)


def test_money_that_was_real_is_never_added_to_money_on_paper(tmp_path: Path) -> None:
    kept(tmp_path, of(mode="live"), trades(PRICES[:3]))
    kept(tmp_path, of(mode="paper"), trades(PRICES))
    assert [bk.Live.get_data(mode=mode).total_trades for mode in (None, "live", "paper")] == [3, 3, 12]
    assert [bk.Heat.get_data(mode=mode).portfolio.total_trades for mode in (None, "live", "paper")] == [3, 3, 12]
    assert bk.Live.get_report(mode="paper").startswith("# Paper trading of sma on BTCUSDT\n")
    assert bk.Live.dump() != bk.Live.dump(mode="paper")
    assert bk.Live.dump().read_text("utf-8").startswith("# Live trading of sma on BTCUSDT\n")


def test_paper_trading_is_told_of_where_nothing_was_traded_live(tmp_path: Path) -> None:
    kept(tmp_path, of(mode="paper"), trades(PRICES))
    data = bk.Live.get_data("BTCUSDT")
    assert (data.total_trades, data.facts.mode) == (12, "paper")


def test_a_backtest_in_the_ledger_is_no_live_trading(tmp_path: Path) -> None:
    kept(tmp_path, of(mode="backtest"), trades(PRICES))
    with pytest.raises(bk.ConfigError, match="nothing of any strategy has been traded live or on paper"):
        bk.Live.get_data()


def test_a_reporter_prefers_the_backtest_of_this_process_and_tells_live_trading_when_asked(tmp_path: Path) -> None:
    kept(tmp_path, of("BTCUSDT", strategy_name="s"), trades(PRICES))
    assert bk.Orders.get_data().total == 24
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", once(long(102, 98, 3)))
    run()
    assert bk.Orders.get_data().total == bk.Orders.get_data(mode="backtest").total == 2
    assert bk.Orders.get_data(mode="live").total == 24


# ---- what stands open ------------------------------------------------------------------------------------------------


def test_a_position_that_is_still_open_is_there_as_it_last_was(tmp_path: Path) -> None:
    first, later = position(), position(milestones=(Milestone("profit", 30, at(2), 103.0),))
    events: list[Event] = [
        SignalOpened(of(), at(0), 100.0, first),
        ActivePing(of(), at(1), 101.0, first, TERMS),
        ProfitReached(of(), at(2), 103.0, later, 30),
        ActivePing(of(), at(3), 104.0, later, TERMS),
    ]
    kept(tmp_path, of(), events)
    data = bk.Live.get_data()
    (latest,) = data.latest.rows
    assert (latest.action, latest.time, data.total_trades) == ("active", at(3), 0)
    assert (data.latest.opened, data.latest.active) == (1, 2)
    line = next(each for each in bk.Live.get_report().splitlines() if each.startswith("| 2024"))
    cells = [cell.strip() for cell in line.split(" | ")]
    assert cells[1:3] == ["active", "BTCUSDT"]
    assert f"{profit(later, 104.0, TERMS).percent:.4f}" in cells
    assert [(row.kind, row.level) for row in bk.Partial.get_data().rows] == [("profit", 30)]
    assert [row.kind for row in bk.Orders.get_data().rows] == ["entry"]


def test_ticks_without_a_signal_are_counted_and_only_the_last_is_listed(tmp_path: Path) -> None:
    kept(tmp_path, of(), [IdlePing(of(), at(minute), 100.0 + minute) for minute in range(40)])
    data = bk.Live.get_data()
    assert data.latest.idle == 40
    assert [(row.action, row.time) for row in data.latest.rows] == [("idle", at(39))]
    assert len(data.events) == 40
    assert "Ticks without a signal: 40" in bk.Live.get_report()


def test_every_kind_of_event_can_be_looked_at_in_every_way(tmp_path: Path) -> None:
    kept(tmp_path, of(), EVENTS)
    data = bk.Live.get_data()
    assert len(data.events) == len(EVENTS)
    assert {row["action"] for row in data.events.to_dicts()} == {event.action for event in EVENTS}
    assert "Rejected and invalid signals" in data.to_html()
    assert "<script" not in data._repr_html_()
    assert len(data.events.to_pandas()) == len(data.events.to_polars()) == len(EVENTS)


def test_what_only_a_backtest_counts_is_not_stated_of_live_trading(tmp_path: Path) -> None:
    kept(tmp_path, of(), EVENTS)
    page = bk.Live.get_data().to_html()
    for name in ("Decisions", "Candles of one minute", "Data hash", "Closed because the frame ended", "Duration"):
        assert f"<dt>{name}</dt>" not in page
    assert "<dt>Refused by risk rules</dt><dd" in page


# ---- reports and files -----------------------------------------------------------------------------------------------


def test_dump_writes_the_report_and_the_trades(tmp_path: Path) -> None:
    kept(tmp_path, of(), trades(PRICES))
    path = bk.Live.dump()
    assert path == tmp_path / "live" / "sma_BTCUSDT.md"
    assert path.read_text("utf-8") == bk.Live.get_report()
    rows = list(csv.DictReader(io.StringIO(path.with_suffix(".csv").read_text("utf-8"))))
    assert [float(row["pnl_percent"]) for row in rows] == [each.pnl_percent for each in bk.Live.get_data().trades]
    assert bk.Live.dump(path=tmp_path / "x.md") == tmp_path / "x.md"


@pytest.mark.parametrize(("kind", "reporter"), REPORTERS.items(), ids=REPORTERS)
def test_every_reporter_reads_the_ledger(kind: str, reporter: Any, tmp_path: Path) -> None:
    kept(tmp_path, of("BTCUSDT"), EVENTS)
    kept(tmp_path, of("ETHUSDT"), EVENTS)
    both, one = reporter.get_data(), reporter.get_data("ETHUSDT")
    assert len(both.rows) == 2 * len(one.rows) > 0
    assert {row.symbol for row in one.rows} == {"ETHUSDT"}
    assert reporter.get_report("ETHUSDT").splitlines()[0].endswith(" of sma on ETHUSDT")
    assert reporter.dump("ETHUSDT") == tmp_path / kind / "sma_ETHUSDT.md"


def test_columns_are_chosen_and_added(tmp_path: Path) -> None:
    kept(tmp_path, of(), trades(PRICES))
    report = bk.Live.get_report(columns=["symbol", bk.Column("mine", "Mine", lambda event: event.action.upper())])
    assert "| Symbol | Mine |\n| --- | --- |\n| BTCUSDT | CLOSED |\n" in report
    with pytest.raises(bk.UnknownNameError, match="did you mean 'symbol'"):
        bk.Live.dump(columns=["symbl"])
    assert not (tmp_path / "live").exists()


async def test_answers_may_be_awaited(tmp_path: Path) -> None:
    kept(tmp_path, of(), trades(PRICES))
    assert (await bk.Live.get_data()).total_trades == 12
    assert (await bk.Live.get_report()).startswith("# Live trading")
    assert (await bk.Live.dump()).exists()


# ---- names -----------------------------------------------------------------------------------------------------------


def test_where_nothing_was_traded_it_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    for ask in (bk.Live.get_data, bk.Live.get_report, bk.Live.dump):
        with pytest.raises(bk.ConfigError, match="nothing of any strategy has been traded live or on paper"):
            ask()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"symbol": "BTCUSD"}, "nothing of BTCUSD has been traded live or on paper; did you mean 'BTCUSDT'?"),
        ({"strategy_name": "smaa"}, "nothing of smaa has been traded live or on paper; did you mean 'sma'?"),
        ({"exchange_name": "binanc"}, "nothing of binanc has been traded live or on paper; did you mean 'binance'?"),
        ({"symbol": "BTCUSDT", "mode": "paper"}, "nothing of BTCUSDT has been traded on paper"),
        ({"mode": "papr"}, "unknown mode of live trading 'papr'; did you mean 'paper'?"),
        ({"mode": "backtest"}, "unknown mode of live trading 'backtest'; registered: live, paper"),
    ],
)
def test_a_name_that_the_ledger_does_not_have_is_told_with_the_one_meant(
    names: dict[str, Any], said: str, tmp_path: Path
) -> None:
    kept(tmp_path, of(), trades(PRICES))
    with pytest.raises(bk.ConfigError) as caught:
        bk.Live.get_data(**names)
    assert str(caught.value) == said


def test_a_name_that_neither_a_backtest_nor_the_ledger_has_is_told_of_both(tmp_path: Path) -> None:
    kept(tmp_path, of(), trades(PRICES))
    with pytest.raises(bk.ConfigError, match=r"no backtest of BTCUSD has been run.*did you mean 'BTCUSDT'\?"):
        bk.Risk.get_data("BTCUSD")


def test_another_world_with_another_folder_knows_nothing_of_it(tmp_path: Path) -> None:
    kept(tmp_path, of(), trades(PRICES))
    with fresh_app(tmp_path / "other"), pytest.raises(bk.ConfigError, match="has been traded"):
        bk.Live.get_data()
    assert bk.Live.get_data().total_trades == 12
