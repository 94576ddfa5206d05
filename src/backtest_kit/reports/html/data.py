"""What the scripts of the HTML report read: candles, trades and the account as compact JSON.

Times are epoch seconds. Candles are whole numbers of their smallest step, each written as its difference from what
comes before, so that a candle takes about a dozen characters. Names stand once, in lists; trades point at them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from backtest_kit.core.candles import Candles, Floats, Times
from backtest_kit.core.values import MINUTE
from backtest_kit.reports.equity import EquityCurve, Prices
from backtest_kit.reports.html.tables import legible
from backtest_kit.reports.run import RunData
from backtest_kit.reports.trades import Trade

MOST_CANDLES = 6_000
MOST_CANDLES_IN_ALL = 20_000
MOST_POINTS = 3_000
MOST_NOTES = 300_000  # characters of all notes together; a single one is cut where the tables cut it
LEG_KINDS = ("entry", "average", "partial_profit", "partial_loss", "partial_close", "exit")

_LENGTHS = (1, 2, 3, 5, 10, 15, 30, 60, 120, 180, 240, 360, 480, 720, 1440, 2880, 4320, 7200, 10080, 20160, 43200)
_UNSAFE = {
    b"<": b"\\u003c",
    b">": b"\\u003e",
    b"&": b"\\u0026",
    b"\xe2\x80\xa8": b"\\u2028",
    b"\xe2\x80\xa9": b"\\u2029",
}


def page_data(run: RunData) -> dict[str, object]:
    """Everything that the page draws or lists, as plain values."""
    symbols = list(dict.fromkeys([each.symbol for each in run.prices] + [each.symbol for each in run.trades]))
    strategies = list(dict.fromkeys(each.strategy_name for each in run.trades))
    reasons = list(dict.fromkeys(each.close_reason for each in run.trades))
    notes = list(dict.fromkeys(each.note for each in run.trades))
    drawn = [each for each in run.prices if len(each.candles)]
    most = min(MOST_CANDLES, MOST_CANDLES_IN_ALL // max(1, len(drawn)))
    return {
        "symbols": [legible(each) for each in symbols],
        "strategies": [legible(each) for each in strategies],
        "reasons": [legible(each) for each in reasons],
        "notes": [legible(each, max(20, MOST_NOTES // max(1500, len(notes)))) for each in notes],
        "kinds": LEG_KINDS,
        "candles": {symbols.index(each.symbol): candle_data(each, most) for each in drawn},
        "trades": trade_rows(run.trades, symbols, strategies, reasons, notes),
        "curve": curve_data(run.curve),
    }


def as_json_block(data: object) -> str:
    """The data as JSON that may stand inside a script element: nothing in it can end the element."""
    text = msgspec.json.encode(data)
    for mark, code in _UNSAFE.items():
        text = text.replace(mark, code)
    return text.decode("utf-8")


def trade_rows(trades: Sequence[Trade], *names: Sequence[str]) -> list[list[object]]:
    """One row a trade, in the order given; what is missing is null.

    `names` are the lists of symbols, strategies, reasons and notes: a row has the places in them.
    """
    places = [{name: i for i, name in enumerate(each)} for each in names]
    return [
        [
            places[0][each.symbol],
            places[1][each.strategy_name],
            int(each.position == "short"),
            each.opened_at // 1000,
            each.closed_at // 1000,
            _short(each.price_open),
            _short(each.price_close),
            _rounded(each.cost, 2),
            _rounded(each.pnl_percent, 4),
            _rounded(each.pnl_cost, 4),
            _rounded(each.peak_pnl_percent, 2),
            _rounded(each.trough_pnl_percent, 2),
            places[2][each.close_reason],
            _rounded(each.leverage, 4),
            _short(each.price_take_profit),
            _short(each.price_stop_loss),
            int(each.ambiguous),
            _rounded(each.pnl_percent_if_ambiguous, 4),
            places[3][each.note],
            _leg_numbers(each),
        ]
        for each in trades
    ]


def _leg_numbers(trade: Trade) -> list[object]:
    """The orders of a trade, four numbers each: seconds after its opening, kind, price, money.

    Without the last exit, and none where there is only one entry beside it: the trade itself states these.
    """
    legs = [each for each in trade.legs if each.kind != "exit"] if len(trade.legs) > 2 else []
    rows = ((each.time - trade.opened_at, each.kind, each.price, each.cost) for each in legs)
    return [
        each
        for time, kind, at, cost in rows
        for each in (time // 1000, LEG_KINDS.index(kind), _short(at), _rounded(cost, 2))
    ]


def _short(price: float | None) -> float | None:
    return None if price is None or not math.isfinite(price) else float(f"{price:.8g}")


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


def candle_data(prices: Prices, most: int) -> dict[str, object]:
    """The candles of a symbol, at most about `most`: `digits` after the point, `step` seconds, `start`, columns.

    `t` counts steps since the candle before, `o` is the opening less the close before, `c` the close less the
    opening; `h` and `l` are how far the wicks reach beyond both.
    """
    times, columns, minutes = coarser(prices.candles, most)
    if not len(times):
        return {"digits": 2, "step": minutes * 60, "start": 0, "t": [], "o": [], "h": [], "l": [], "c": []}
    digits = _digits(columns[3])
    opens, highs, lows, closes = (np.rint(each * 10.0**digits).astype(np.int64) for each in columns)
    steps = np.diff(times, prepend=times[0]) // (minutes * MINUTE)
    return {
        "digits": digits,
        "step": minutes * 60,
        "start": int(times[0]) // 1000,
        "t": steps.tolist(),
        "o": (opens - np.append(0, closes[:-1])).tolist(),
        "h": (highs - np.maximum(opens, closes)).tolist(),
        "l": (np.minimum(opens, closes) - lows).tolist(),
        "c": (closes - opens).tolist(),
    }


def _digits(closes: Floats) -> int:
    """Decimals that keep six significant digits of the lowest price, and at least two."""
    lowest = float(np.min(np.abs(closes[closes != 0]), initial=np.inf))
    return 2 if not math.isfinite(lowest) else min(12, max(2, 5 - math.floor(math.log10(lowest))))


def coarser(candles: Candles, most: int) -> tuple[Times, tuple[Floats, ...], int]:
    """Opening times, the four price columns and the minutes of a candle, in candles long enough to be `most`.

    Candles that are missing are absent. A longer candle is made of those of its minutes that are there, so that a gap
    in it is not seen: this is for pictures alone.
    """
    there = np.isfinite(candles.close)
    times = candles.time[there]
    columns = tuple(each[there] for each in (candles.open, candles.high, candles.low, candles.close))
    minutes = _length(candles.interval.minutes, len(times), most)
    if minutes == candles.interval.minutes or not len(times):
        return times, columns, candles.interval.minutes
    groups = times // (minutes * MINUTE)
    first = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    last = np.append(first[1:], len(times)) - 1
    opens, highs, lows, closes = columns
    merged = (opens[first], np.maximum.reduceat(highs, first), np.minimum.reduceat(lows, first), closes[last])
    return groups[first] * (minutes * MINUTE), merged, minutes


def _length(minutes: int, rows: int, most: int) -> int:
    """The shortest usual length, a multiple of `minutes`, in which `rows` candles become `most`."""
    fitting = [each for each in _LENGTHS if each % minutes == 0 and rows * minutes <= most * each]
    return fitting[0] if fitting else minutes * max(1, math.ceil(rows / most))


def drawdown_percent(equity: Floats) -> Floats:
    """How far the account stands below its highest point so far, in percent, never above zero."""
    peak = np.maximum.accumulate(equity)
    fallen: Floats = np.divide(equity - peak, peak, out=np.zeros_like(peak), where=peak > 0) * 100
    return fallen


def curve_data(curve: EquityCurve) -> dict[str, object]:
    """The account over time with few enough points to draw: money, buy-and-hold, and the drawdown in percent."""
    drawdown = drawdown_percent(curve.equity)
    kept = kept_rows(curve.equity, drawdown, MOST_POINTS)
    return {
        "t": (curve.times[kept] // 1000).tolist(),
        "equity": np.round(curve.equity[kept], 2).tolist(),
        "benchmark": np.round(curve.benchmark[kept], 2).tolist() if len(curve.benchmark) == len(curve.times) else [],
        "drawdown": np.round(drawdown[kept], 3).tolist(),
    }


def kept_rows(equity: Floats, drawdown: Floats, most: int) -> Times:
    """The rows that a picture keeps: of every stretch its highest, lowest and deepest; the first and the last."""
    rows = len(equity)
    if rows <= most:
        return np.arange(rows)
    edges = np.linspace(0, rows, max(1, most // 3) + 1).astype(np.int64)
    stretches = [(a, b) for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True) if b > a]
    columns = ((equity, np.argmax), (equity, np.argmin), (drawdown, np.argmin))
    found = [a + int(pick(column[a:b])) for a, b in stretches for column, pick in columns]
    return np.unique(np.array([0, *found, rows - 1], dtype=np.int64))
