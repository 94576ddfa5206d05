"""What a professional would notice about a run, in words, each with its number.

Every rule is one small function in `RULES`; it looks at one thing and answers nothing where it sees nothing. A run is
never called good: that nothing was noticed says only that these rules found nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backtest_kit.core.candles import Floats
from backtest_kit.reports.tables import one_line, share_text
from backtest_kit.reports.trades import MIN_TRADES, Trade, median, numbered, total

if TYPE_CHECKING:
    from backtest_kit.reports.run import RunData

Severity: TypeAlias = Literal["note", "warning", "serious"]
Noticed: TypeAlias = tuple[Severity, float, str]
"""What a rule answers: how grave it is, its number, and the sentence."""
Parts: TypeAlias = tuple[Sequence[str], NDArray[np.int64]]
"""The names of parts, and of every trade the number of the part that it belongs to."""

MOST_SERIOUS_FIRST: tuple[Severity, ...] = ("serious", "warning", "note")
FEW_TRADES = 30
SHARE_TRADES = 5  # a share of fewer trades is not worth a sentence


class Finding(Struct, frozen=True):
    """One observation: `rule` is its short name, `text` a sentence with its number in it.

    `value` is that number by itself, in the unit that the sentence names. Names of the user in `text` are one line of
    printable characters, but are not escaped for any kind of page.
    """

    rule: str
    severity: Severity
    text: str
    value: float


def findings(run: RunData) -> tuple[Finding, ...]:
    """All that the rules notice, the most serious first; empty where they notice nothing."""
    noticed = [(name, rule(run)) for name, rule in RULES.items()]
    found = [Finding(name, each[0], each[2], each[1]) for name, each in noticed if each is not None]
    return tuple(sorted(found, key=lambda each: MOST_SERIOUS_FIRST.index(each.severity)))


def _money(value: float) -> str:
    """Quote currency with its sign; small amounts to four digits, so that they do not look like nothing."""
    return f"{value:+,.2f}" if abs(value) >= 1 or value == 0 else f"{value:+.4g}"


def _of(part: float, whole: float) -> float:
    """The share of a part in percent; 0 of nothing."""
    return part / whole * 100 if whole else 0.0


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _profits(trades: Sequence[Trade]) -> Floats:
    """What every trade made, in money."""
    return np.array([each.pnl_cost for each in trades], dtype=np.float64)


def _no_trades(run: RunData) -> Noticed | None:
    if run.trades:
        return None
    return "serious", 0.0, " ".join(_why_nothing(run))


def _why_nothing(run: RunData) -> Iterator[str]:
    facts = run.facts
    if not facts.decisions:
        yield "No trades were closed: no decision of the strategy was counted."
        return
    yield f"No trades were closed. Of {facts.decisions} decisions {facts.no_signal} gave no signal."
    for number, what in (
        (facts.not_enough_history, "It could not decide for want of history"),
        (facts.invalid_signal_count, "Its signal was invalid"),
        (facts.risk_rejections, "Risk rules refused its signal"),
        (facts.errors, "User code failed"),
    ):
        if number:
            yield f"{what} {_times(number)}."


def _account_blown(run: RunData) -> Noticed | None:
    account = run.account
    if account.final_balance > 0 and account.total_return > -100:
        return None
    lost = f"The account was lost: of {_money(account.initial_balance)[1:]} nothing was left"
    return "serious", account.total_return, f"{lost} ({account.total_return:.0f} %)."


def _liquidations(run: RunData) -> Noticed | None:
    number = len([each for each in run.trades if each.close_reason == "liquidation"])
    if not number:
        return None
    what = "One position was" if number == 1 else f"{number} positions were"
    return "serious", number, f"{what} liquidated: leverage took the whole stake before the stop was reached."


def _too_few_trades(run: RunData) -> Noticed | None:
    number = len(run.trades)
    if not 0 < number < FEW_TRADES:
        return None
    if number < MIN_TRADES:
        text = f"{_many(number, 'closed trade')}: fewer than {MIN_TRADES} say nothing about a strategy."
        return "serious", number, text
    return "note", number, f"{number} closed trades are few: below {FEW_TRADES}, averages and ratios are rough."


def _costs_eat_the_edge(run: RunData) -> Noticed | None:
    net, costs = total(_profits(run.trades)), total([each.fees + each.slippage for each in run.trades])
    gross = net + costs
    if costs <= 0 or gross <= 0:
        return None
    share = _of(costs, gross)
    if net <= 0:
        before = f"{_money(gross)} before fees and slippage of {_money(costs)[1:]}"
        return "serious", share, f"Costs took {share:.0f} % of the edge: {before}, {_money(net)} after them."
    if share <= 50:
        return None
    of_all = f"{_money(costs)[1:]} of {_money(gross)}"
    return "warning", share, f"Fees and slippage took {share:.0f} % of the profit before costs ({of_all})."


def _not_significant(run: RunData) -> Noticed | None:
    """Of a loss only the interval is asked: the p-value is about a profit."""
    chance, between = run.significance.p_value, run.significance.avg_pnl
    gained = run.statistics.total_pnl > 0
    reasons: list[tuple[float, str]] = []
    if gained and chance is not None and chance > 0.05:
        reasons.append((chance, f"p = {chance:.2f}, over 0.05"))
    if between is not None and between.low <= 0 <= between.high:
        span = f"{between.low:+.2f} % to {between.high:+.2f} %"
        reasons.append((between.low, f"the mean trade lies in {span} with {between.level:g} % confidence"))
    if not reasons:
        return None
    told = "; ".join(text for _, text in reasons)
    return (
        "warning" if gained else "note",
        reasons[0][0],
        f"The {'profit' if gained else 'loss'} may be chance: {told}.",
    )


def _many_trials(run: RunData) -> Noticed | None:
    deflated, trials = run.significance.deflated_sharpe_ratio, run.significance.trials
    if trials < 2 or deflated is None or deflated >= 0.95:
        return None
    text = f"It is one of {trials} variants: allowing for that, the probability of an edge is {deflated * 100:.0f} %"
    return "warning", deflated, f"{text} (deflated Sharpe ratio {deflated:.2f}, below 0.95)."


def _best_trades(run: RunData) -> Noticed | None:
    """Whether one trade, or the best 5 % of many, made the result: the fewest that together made all of it."""
    profits, count = _profits(run.trades), len(run.trades)
    net = total(profits)
    if count < 2 or net <= 0:
        return None
    best_first = np.add.accumulate(np.sort(profits)[::-1])
    best, needed = float(best_first[0]), int(np.argmax(np.append(best_first[:-1], np.inf) >= net)) + 1
    share, rest = _of(best, net), net - float(best_first[needed - 1])
    if needed == 1:
        text = f"All profit came from one trade: {_money(best)}; without it the result of {_money(net)}"
        return "serious", share, f"{text} would have been {_money(rest)}."
    if needed <= count * 0.05:
        others = f"the other {count - needed} together made {_money(rest)}"
        return "warning", needed, f"All profit came from {needed} of {count} trades; {others}."
    if share <= 50:
        return None
    return "warning", share, f"One trade made {share:.0f} % of the result: {_money(best)} of {_money(net)}."


def _too_good(run: RunData) -> Noticed | None:
    figures = run.statistics
    if len(run.trades) < MIN_TRADES or figures.total_pnl <= 0:
        return None
    limits = (
        ("Sharpe ratio (daily, per year) of", run.account.sharpe_ratio, 4.0, ""),
        ("profit factor of", figures.profit_factor, 5.0, ""),
        ("win rate of", figures.win_rate, 95.0, " %"),
    )
    over = [(value, f"{name} {value:.1f}{unit}") for name, value, most, unit in limits if value and value > most]
    if not over:
        return None
    told = ", ".join(text for _, text in over)
    text = f"{told[0].upper()}{told[1:]}: real markets rarely give that; look for look-ahead and for fills"
    return "warning", over[0][0], f"{text} that no exchange would have given."


def _long_drawdown(run: RunData) -> Noticed | None:
    account = run.account
    if account.days <= 0 or account.max_drawdown <= 0 or account.max_drawdown_days <= account.days / 2:
        return None
    share = _of(account.max_drawdown_days, account.days)
    lasted = f"{account.max_drawdown_days:.1f} of {account.days:.1f} days ({share:.0f} % of the run)"
    return "warning", account.max_drawdown_days, f"The deepest drawdown, {account.max_drawdown:.2f} %, lasted {lasted}."


def _time_exits(run: RunData) -> Noticed | None:
    expired = [each.pnl_cost for each in run.trades if each.close_reason == "time_expired"]
    share = _of(len(expired), len(run.trades))
    if len(run.trades) < SHARE_TRADES or share <= 50:
        return None
    text = (
        f"{len(expired)} of {len(run.trades)} trades ({share_text(share)}) were closed by time, not by target or stop"
    )
    return "warning", share, f"{text}; these made {_money(total(expired))}."


def _ambiguous_candles(run: RunData) -> Noticed | None:
    """Where both levels lay in one candle the result is a band; it matters if it is wide or has zero in it."""
    doubtful = [each for each in run.trades if each.ambiguous]
    known = [each for each in doubtful if each.pnl_percent_if_ambiguous is not None]
    number = max(len(doubtful), run.facts.ambiguous)
    share, ours = _of(number, len(run.trades)), run.statistics.total_pnl
    other = ours + total([(each.pnl_percent_if_ambiguous or 0.0) - each.pnl_percent for each in known])
    if not number or not run.trades or (share <= 5 and not ours <= 0 < other):
        return None
    text = f"{number} of {len(run.trades)} trades ({share_text(share)}) closed on a candle with both stop and target"
    band = f"; with the stop taken the sum is {ours:+.2f} %, with the target {other:+.2f} %" if known else ""
    return "warning", share, f"{text}{band}."


def _small_moves(run: RunData) -> Noticed | None:
    """Trades whose price moves are hardly larger than what it costs to trade them."""
    staked = [each for each in run.trades if each.cost > 0]
    stakes = np.array([each.cost for each in staked], dtype=np.float64)
    taken = np.array([each.fees + each.slippage for each in staked], dtype=np.float64)
    costs = _of(total(taken), total(stakes))
    if len(staked) < SHARE_TRADES or costs <= 0:
        return None
    moved = median(np.abs(_profits(staked) + taken) / stakes * 100)
    if moved >= 2 * costs:
        return None
    minutes = median([each.duration_minutes for each in staked])
    text = f"Trades are too short for their costs: the median one lasted {minutes:.0f} minutes and made or lost"
    return "warning", moved, f"{text} {moved:.2f} % before costs of {costs:.2f} %."


def _large_losses(run: RunData) -> Noticed | None:
    figures = run.statistics
    win, loss, rate = figures.avg_win, figures.avg_loss, figures.win_rate
    if not win or not loss or rate is None or rate < 60 or len(run.trades) < SHARE_TRADES:
        return None
    wins_a_loss = -loss / win
    if wins_a_loss < 3:
        return None
    text = f"One mean loss ({loss:.2f} %) takes {wins_a_loss:.1f} mean wins ({win:+.2f} %)"
    return "warning", wins_a_loss, f"{text}: the win rate of {rate:.0f} % hides rare large losses."


def _all_from_one(what: str, parted: Callable[[Sequence[Trade]], Parts], fewest: int, run: RunData) -> Noticed | None:
    """Whether one part, of at least `fewest`, made all that was earned, so that all others earned nothing."""
    names, part_of = parted(run.trades)
    if len(names) < fewest:
        return None
    sums = np.bincount(part_of, _profits(run.trades), len(names))
    at, net = int(sums.argmax()), total(sums)
    best = float(sums[at])
    if net <= 0 or net - best > 0:
        return None
    others = f"the other {_many(len(names) - 1, what)} together made {_money(net - best)}"
    return "warning", best, f"All profit came from one {what}, {one_line(names[at])}: {_money(best)}; {others}."


def _months(trades: Sequence[Trade]) -> Parts:
    closed = np.array([each.closed_at for each in trades], "datetime64[ms]").astype("datetime64[M]")
    months, month_of = np.unique(closed, return_inverse=True)
    return [str(each) for each in months], month_of


def _below_buy_and_hold(run: RunData) -> Noticed | None:
    account, held = run.account, run.account.benchmark_return
    if not run.trades or held is None or held - account.total_return <= 0.01:
        return None
    text = f"Buying and holding would have made {held:+.2f} %, the account made {account.total_return:+.2f} %"
    exposure = account.average_exposure
    if exposure is None or exposure >= 50:
        return "warning", account.total_return - held, f"{text}."
    return "note", account.total_return - held, f"{text}, with {exposure:.1f} % of it in the market on average."


def _idle_money(run: RunData) -> Noticed | None:
    most = run.account.max_exposure
    if not run.trades or most is None or most >= 10:
        return None
    text = f"Never more than {most:.2g} % of the balance was at work: return and drawdown of the account are that thin"
    return "note", most, f"{text}; set initial_balance or the size of positions to what would really be traded."


def _frame_end(run: RunData) -> Noticed | None:
    number = run.facts.frame_end_closes
    share = _of(number, len(run.trades))
    if len(run.trades) < SHARE_TRADES or share <= 10:
        return None
    text = f"{number} of {len(run.trades)} trades ({share_text(share)}) were closed only because the frame ended"
    return "note", share, f"{text}: their profit is where the price happened to stand."


def _gaps(run: RunData) -> Noticed | None:
    facts = run.facts
    if not facts.gaps:
        return None
    missing, reached = 0, facts.start
    for first, stop in sorted(facts.gaps):  # those of several symbols overlap
        missing += max(0, min(stop, facts.stop) - max(first, reached))
        reached = max(reached, stop)
    share = _of(missing, facts.stop - facts.start)
    text = f"{_many(len(facts.gaps), 'gap')} in the candles, {missing / 3_600_000:.1f} hours"
    return "warning" if share > 1 else "note", share, f"{text} ({share:.2g} % of the run): nothing could happen there."


def _signals(run: RunData) -> int:
    """How many signals the strategies gave, as far as the facts tell."""
    facts = run.facts
    refused = facts.invalid_signal_count + facts.risk_rejections
    return max(facts.decisions - facts.no_signal - facts.not_enough_history, refused)


def _invalid_signals(run: RunData) -> Noticed | None:
    number, given = run.facts.invalid_signal_count, _signals(run)
    share = _of(number, given)
    if share <= 10:
        return None
    first = "".join(f"; the first: {one_line(each.reason, 160)}" for each in run.facts.invalid_signals[:1])
    return "warning", share, f"{number} of {given} signals ({share_text(share)}) were invalid{first}."


def _risk_rejections(run: RunData) -> Noticed | None:
    number, share = run.facts.risk_rejections, _of(run.facts.risk_rejections, _signals(run))
    if share <= 50:
        return None
    return "note", share, f"Risk rules refused {number} of {_signals(run)} signals ({share_text(share)})."


def _not_enough_history(run: RunData) -> Noticed | None:
    number, asked = run.facts.not_enough_history, run.facts.decisions
    share = _of(number, asked)
    if share <= 10:
        return None
    text = f"{number} of {asked} decisions ({share_text(share)}) could not be taken for want of history"
    return "warning" if share > 50 else "note", share, f"{text}: the run is that much shorter than its frame."


def _errors(run: RunData) -> Noticed | None:
    number = run.facts.errors
    if not number:
        return None
    text = f"User code failed {_times(number)} without ending the run"
    return "warning", number, f"{text}: what it would have done is missing."


RULES: Mapping[str, Callable[[RunData], Noticed | None]] = {
    "no_trades": _no_trades,
    "account_blown": _account_blown,
    "liquidations": _liquidations,
    "too_few_trades": _too_few_trades,
    "costs_eat_the_edge": _costs_eat_the_edge,
    "best_trades": _best_trades,
    "not_significant": _not_significant,
    "many_trials": _many_trials,
    "too_good": _too_good,
    "long_drawdown": _long_drawdown,
    "ambiguous_candles": _ambiguous_candles,
    "time_exits": _time_exits,
    "small_moves": _small_moves,
    "large_losses": _large_losses,
    "one_symbol": partial(_all_from_one, "symbol", lambda trades: numbered([each.symbol for each in trades]), 2),
    "one_month": partial(_all_from_one, "month", _months, 3),
    "one_side": partial(_all_from_one, "side", lambda trades: numbered([each.position for each in trades]), 2),
    "below_buy_and_hold": _below_buy_and_hold,
    "errors": _errors,
    "invalid_signals": _invalid_signals,
    "risk_rejections": _risk_rejections,
    "not_enough_history": _not_enough_history,
    "gaps": _gaps,
    "frame_end": _frame_end,
    "idle_money": _idle_money,
}
"""Every rule by its name; of equally serious findings the order here is the order of the report."""
