"""A run and its rows as HTML for notebooks: no script, colours of the notebook, small whatever the run's size.

Every text is escaped, whoever wrote it; what a reader sees beside it is inline style, so that a notebook which strips
style sheets shows the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from backtest_kit.reports.diagnosis import Finding
from backtest_kit.reports.tables import NOT_AVAILABLE, minute, one_line, price

if TYPE_CHECKING:
    from backtest_kit.core.candles import Floats
    from backtest_kit.reports.run import RunData
    from backtest_kit.reports.trades import Trade

LAST_TRADES = 20
POINTS = 120
_NAME = 20  # characters of a name in a table
_GAIN, _LOSS, _CAUTION = "#1f9254", "#d6453d", "#b7791f"  # readable on white as on black
_MARK = {"serious": ("serious", _LOSS), "warning": ("warning", _CAUTION), "note": ("note", "inherit")}
_LINE = "1px solid rgba(128,128,128,.35)"
_BOX = f"font-variant-numeric:tabular-nums;max-height:18em;overflow:auto;border:{_LINE};border-radius:4px"
_HEAD = "position:sticky;top:0;background:rgba(128,128,128,.18);backdrop-filter:blur(6px)"
_TRADE_TITLES = ("Closed (UTC)", "Symbol", "Strategy", "Side", "Entry", "Exit", "Profit %", "Profit", "Closed by")


def run_html(run: RunData) -> str:
    """The run in a notebook: title, key figures, equity, what was noticed, and the last trades.

    A fragment of less than 20 kB without script, style sheet or outside address.
    """
    parts = [f"<strong>{_text(run.title, 160)}</strong>", _figures(run), _equity(run), _noticed(run.findings)]
    if run.trades:
        shown = run.trades[-LAST_TRADES:]
        which = f"the last {len(shown)} of {len(run.trades)}" if len(shown) < len(run.trades) else f"all {len(shown)}"
        parts.append(f"<div>Closed trades, {which}:</div>")
        parts.append(_table(_TRADE_TITLES, map(_trade_cells, reversed(shown))))
    return f'<div style="display:grid;gap:.6em;max-width:72em">{"".join(parts)}</div>'


def rows_html(columns: Sequence[str], rows: Iterable[Sequence[object]], *, max_rows: int = 250) -> str:
    """Rows as a scrollable HTML table: the first `max_rows` of them, and how many more there are.

    `columns` are titles, a row has one value for each. None and NaN are written as N/A, numbers stand on the right.
    """
    remaining = iter(rows)
    table = _table(columns, [[_cell(value) for value in row] for row in islice(remaining, max_rows)])
    more = sum(1 for _ in remaining)
    return f"{table}<div>and {more} more rows</div>" if more else table


def _text(value: object, most: int = 200) -> str:
    return escape(one_line(value, most))


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _data(NOT_AVAILABLE)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _data(f"{value:.6g}" if isinstance(value, float) else str(value), right=True)
    return _data(_text(value))


def _data(text: str, *, right: bool = False, colour: str = "") -> str:
    """A table cell of text that is escaped already."""
    side = "right" if right else "left"
    return f'<td style="text-align:{side}{f";color:{colour}" if colour else ""}">{text}</td>'


def _table(titles: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col" style="{_HEAD};text-align:left">{_text(each)}</th>' for each in titles)
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    table = '<table cellpadding="4" style="color:inherit;font:inherit;margin:0">'
    return f'<div style="{_BOX}">{table}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _trade_cells(trade: Trade) -> Iterator[str]:
    colour = _colour(trade.pnl_percent)
    yield _data(minute(trade.closed_at)[:16].replace("T", " "))
    for name in (trade.symbol, trade.strategy_name, trade.position):
        yield _data(_text(name, _NAME))
    for number in (trade.price_open, trade.price_close):
        yield _data(price(number), right=True)
    yield _data(f"{trade.pnl_percent:+.2f}", right=True, colour=colour)
    yield _data(f"{trade.pnl_cost:+,.2f}", right=True, colour=colour)
    yield _data(_text(trade.close_reason, _NAME).replace("_", " "))


def _colour(value: float) -> str:
    return _GAIN if value > 0 else _LOSS if value < 0 else ""


def _figures(run: RunData) -> str:
    cells = "".join(
        f'<span><span style="opacity:.7">{title}</span><br><strong style="font-variant-numeric:tabular-nums;'
        f'color:{colour or "inherit"}">{text}</strong></span>'
        for title, text, colour in _key_figures(run)
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:.4em 1.8em">{cells}</div>'


def _key_figures(run: RunData) -> Iterator[tuple[str, str, str]]:
    """Title, text and colour of the figures that a reader looks for first."""
    figures, account = run.statistics, run.account
    yield "Trades", str(figures.total_trades), ""
    yield "Win rate", _number(figures.win_rate, ".1f", " %"), ""
    yield "Profit, sum over trades", _number(figures.total_pnl, "+.2f", " %"), _colour(figures.total_pnl)
    yield "Profit factor", _number(figures.profit_factor, ".2f"), ""
    yield "Account", _number(account.final_balance, ",.2f"), ""
    yield "Return", _number(account.total_return, "+.2f", " %"), _colour(account.total_return)
    yield "Max drawdown", _number(account.max_drawdown, ".2f", " %"), ""
    yield "Sharpe ratio (daily)", _number(account.sharpe_ratio, ".2f"), ""


def _number(value: float | None, how: str, unit: str = "") -> str:
    return NOT_AVAILABLE if value is None or not math.isfinite(value) else f"{value:{how}}{unit}"


def _equity(run: RunData) -> str:
    """The account over time as a small picture, its beginning as a dashed line; empty where there is no course."""
    values = run.curve.equity[np.isfinite(run.curve.equity)]
    if len(values) < 2:
        return ""
    low, high = float(values.min()), float(values.max())
    values = values[np.linspace(0, len(values) - 1, min(POINTS, len(values))).round().astype(int)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(_across(len(values)), _height(values, low, high), strict=True))
    start = _height(values[:1], low, high)[0]
    label = f"Equity from {values[0]:,.2f} to {values[-1]:,.2f}, lowest {low:,.2f}, highest {high:,.2f}"
    return (
        f'<svg viewBox="0 0 480 64" width="480" height="64" style="max-width:100%" role="img" aria-label="{label}">'
        f"<title>{label}</title><g fill='none' stroke='currentColor'>"
        f'<path d="M0 {start:.1f}H480" stroke-dasharray="3 4" opacity=".4"/>'
        f'<polyline points="{points}" stroke-width="1.5" stroke-linejoin="round"/></g></svg>'
    )


def _across(count: int) -> list[float]:
    return [float(each) for each in np.linspace(2, 478, count)]


def _height(values: Floats, low: float, high: float) -> list[float]:
    """From the bottom (low) to the top (high) of the picture; half way up where nothing changed."""
    span = high - low
    return [62 - 60 * (float(each) - low) / span if span > 0 else 32.0 for each in values]


def _noticed(found: Sequence[Finding]) -> str:
    if not found:
        return ""
    items = "".join(_item(each) for each in found)
    return f'<ul style="margin:0;padding-left:1.2em">{items}</ul>'


def _item(finding: Finding) -> str:
    word, colour = _MARK[finding.severity]
    return f'<li><strong style="color:{colour}">{word}:</strong> {_text(finding.text, 400)}</li>'
