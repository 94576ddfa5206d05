"""The HTML report: one file that holds everything it needs, opens offline and asks nobody for anything.

Safety is laid in twice. Names, notes and reasons are data: Python escapes them, the scripts write them as text only.
And the page's own policy lets no script run but those whose hashes it states, and loads nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from backtest_kit.reports.html import sections as parts
from backtest_kit.reports.html.data import as_json_block, page_data
from backtest_kit.reports.html.figures import figure_tables
from backtest_kit.reports.html.pictures import equity_picture
from backtest_kit.reports.html.tables import escaped, paragraph, section
from backtest_kit.reports.run import RunData
from backtest_kit.reports.tables import minute

PAGE = Path(__file__).parent / "assets"
LIBRARY = PAGE / "lightweight-charts.js"
_SCRIPTS = tuple(PAGE / name for name in ("formats.js", "charts.js", "trades.js", "report.js"))

_NO_LIBRARY = (
    "The interactive candles are not in this file: the chart library was not there when it was written. In a checkout,"
    " “make charts” fetches it; packages from the index bring it along. Everything else is complete."
)
_ATTRIBUTION = (
    'Candles drawn with <a href="https://www.tradingview.com/" rel="noopener noreferrer">TradingView Lightweight'
    " Charts™</a>, Copyright © TradingView, Inc., Apache License 2.0."
)


def html_report(run: RunData, *, version: str = "") -> str:
    """The report of a run as one HTML text; `version` is that of the package.

    The chart library is put in where it is installed (`LIBRARY`); without it the candles give way to a sentence.
    """
    library = _inlined(LIBRARY) if LIBRARY.is_file() else ""
    scripts = [each for each in (library, *map(_inlined, _SCRIPTS)) if each]
    style = _inlined(PAGE / "report.css")
    data = as_json_block(page_data(run))
    blocks = "\n".join(f"<script>{each}</script>" for each in scripts)
    head, main = _head(run, _policy(scripts, style), style), _main(run, bool(library), version)
    return (
        f"{head}\n<body>\n{_top(run)}\n<main>\n{main}\n"
        f'</main>\n{_footer(version, bool(library))}\n<script type="application/json" id="data">{data}</script>\n'
        f"{blocks}\n</body>\n</html>\n"
    )


def _inlined(path: Path) -> str:
    """A file's text as it stands in the page, and as its hash is taken of: with plain line feeds.

    Raises ValueError where it would end its own element.
    """
    text = path.read_text("utf-8")
    if any(mark in text.lower() for mark in ("</script", "</style", "<!--")):
        raise ValueError(f"{path.name} cannot stand inside a page")
    return text


def _policy(scripts: list[str], style: str) -> str:
    """The page's content security policy: only these scripts, only this style, nothing from outside."""
    allowed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; base-uri 'none';"
        " form-action 'none'; require-trusted-types-for 'script'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _head(run: RunData, policy: str, style: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(run.title)}</title>\n<style>{style}</style>\n</head>"
    )


def _top(run: RunData) -> str:
    facts = run.facts
    span = f"{minute(facts.start)[:10]} to {minute(facts.stop)[:10]}"
    where = " · ".join(each for each in (span, escaped(facts.exchange_name), escaped(facts.frame_name)) if each)
    links = "".join(
        f'<li><a href="#{anchor}">{name}</a></li>'
        for anchor, name in (
            ("equity", "Account"),
            ("trades", "Trades"),
            ("symbols", "Symbols"),
            ("figures", "Figures"),
            ("costs", "Costs"),
            ("run", "The run"),
        )
    )
    return (
        f'<header>\n<div class="masthead"><div><h1>{escaped(run.title)}</h1>'
        f'<p class="aside">{where} · times are UTC</p></div>\n'
        '<button type="button" id="theme" hidden>Dark</button></div>\n'
        f'<nav aria-label="Parts of the report"><ul>{links}</ul></nav>\n</header>'
    )


def _main(run: RunData, library: bool, version: str) -> str:
    return "\n".join(
        each
        for each in (
            parts.key_figures(run),
            parts.verdict(run),
            _equity(run),
            parts.months(run.curve),
            _trades(run, library),
            parts.symbols(run) if run.trades else "",
            section("figures", "All figures", *figure_tables(run)),
            parts.costs(run) if run.trades else "",
            parts.ambiguous(run),
            parts.signals(run),
            parts.run_facts(run, version),
        )
        if each
    )


def _equity(run: RunData) -> str:
    picture = equity_picture(run.curve)
    if not picture:
        return section("equity", "The account", paragraph("There is nothing to draw: the account was never looked at."))
    held = '<span class="key benchmark">buy and hold</span>' if len(run.curve.benchmark) else ""
    fallen = '<span class="key drawdown">drawdown, %</span>'
    key = f'<p class="legend"><span class="key equity">account</span>{held}{fallen}</p>'
    drawn = '<div id="equity-chart" class="chart" hidden></div>'
    return section("equity", "The account", key, f'<div id="equity-picture">{picture}</div>', drawn)


def _trades(run: RunData, library: bool) -> str:
    if not run.trades:
        return section("trades", "Trades", paragraph("No trades were closed."), _candles(run, library))
    return section("trades", "Trades", _candles(run, library), _LIST)


def _candles(run: RunData, library: bool) -> str:
    if not library:
        return paragraph(_NO_LIBRARY, "notice")
    if not any(len(each.candles) for each in run.prices):
        return paragraph("The candles of this run were not kept, so they are not drawn.", "notice")
    return _CHART


_CHART = """<div id="candles" hidden>
<div class="controls">
<label>Symbol <select id="chart-symbol"></select></label>
<button type="button" id="earlier">← Earlier trade</button>
<button type="button" id="later">Later trade →</button>
<button type="button" id="whole">Whole run</button>
<span id="chart-state" class="aside" role="status"></span>
</div>
<div id="candle-chart" class="chart" role="img"
aria-label="Candles with the marks of trades; the list below says the same in words"></div>
<p class="legend" id="chart-key"></p>
</div>"""

_LIST = """<div id="chosen" class="chosen" aria-live="polite" hidden></div>
<noscript><p class="notice">The list of trades needs JavaScript; all that is counted stands below.</p></noscript>
<div id="trade-list" hidden>
<div class="controls">
<label>Symbol <select id="list-symbol"><option value="">all</option></select></label>
<label>Outcome <select id="list-outcome"><option value="">all</option><option value="won">winners</option>
<option value="lost">losers</option><option value="ambiguous">ambiguous</option></select></label>
<span id="list-count" class="aside" role="status"></span>
<button type="button" id="previous-page">← Newer</button>
<button type="button" id="next-page">Older →</button>
</div>
<div class="scroll tall" tabindex="0" role="region" aria-label="Closed trades">
<table><caption>Closed trades; choose one to see it in the chart</caption>
<thead><tr id="trade-heads"></tr></thead><tbody id="trade-rows"></tbody></table></div>
</div>"""


def _footer(version: str, library: bool) -> str:
    made = f"Made by backtest-kit {escaped(version)}".strip() + "."
    note = " A backtest is a story about the past; it promises nothing."
    credit = f" {_ATTRIBUTION}" if library else ""
    return f"<footer><p>{made}{note}{credit}</p></footer>"
