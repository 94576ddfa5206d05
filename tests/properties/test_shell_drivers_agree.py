"""Two drivers through the whole shell: skipping quiet candles and walking through them tell the same story.

A story is drawn by a number: markets, strategies that sometimes signal, commands in listeners, a risk profile that all
books share. Whatever is told to any listener, and every result, must be equal with `fast_forward` on and off, stamps
and positions included. Strategies and commands look only at what they are told, so equal inputs make equal outputs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import zip_longest
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase
from hypothesis import given as drawn
from hypothesis import settings as profile
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

import backtest_kit as bk
from backtest_kit.app import App
from backtest_kit.core.events import ActivePing, Event
from backtest_kit.core.values import Terms
from backtest_kit.engine.listeners import Subscription
from backtest_kit.engine.schedule import CronTick
from tests.worlds import EDGES, FACTS, MINUTE, NOTICES, PINGS, collected, fresh_app, given, walk, without

SYMBOLS = ("AAA", "BBB", "CCC")
LISTENABLE = (*NOTICES, *PINGS)
# A story is told by its number; making a failing one simpler would take minutes.
as_drawn = profile(phases=[Phase.explicit, Phase.reuse, Phase.generate])
TROUBLE = ("other books", "jobs", "gaps", "listeners come and go", "stops")


class Story(NamedTuple):
    """What is drawn: a number for all chances, the books, who listens, how often is commanded, trouble, the rules."""

    seed: int
    symbols: tuple[str, ...]
    strategies: tuple[str, ...]
    kinds: tuple[type[Event], ...]
    commands: float
    trouble: tuple[str, ...]
    asynchronous: bool
    rules: dict[str, Any]


stories = st.builds(
    Story,
    seed=st.integers(0, 2**32 - 1),
    symbols=st.sampled_from([SYMBOLS[:1], SYMBOLS[:2], SYMBOLS]),
    strategies=st.sampled_from([("one",), ("one", "two")]),
    kinds=st.lists(st.sampled_from(LISTENABLE), unique=True, max_size=5).map(tuple),
    commands=st.sampled_from([0.0, 0.05, 0.5]),
    trouble=st.just(()),
    asynchronous=st.booleans(),
    rules=st.fixed_dictionaries(
        {
            "exit_rule": st.sampled_from(["touch", "stop_touch", "vwap"]),
            "fill_rule": st.sampled_from(["honest", "level"]),
            "schedule_await_minutes": st.sampled_from([5, 30]),
            "dca_everywhere": st.booleans(),
        }
    ),
)


@as_drawn
@drawn(stories)
def test_both_drivers_tell_the_same_story(story):
    fast, slow = (lived(story, fast_forward=fast_forward) for fast_forward in (True, False))
    assert difference(fast, slow) is None


@as_drawn
@drawn(stories, st.lists(st.sampled_from(TROUBLE), min_size=1, unique=True))
def test_both_drivers_tell_the_same_story_when_there_is_trouble(story, trouble):
    story = story._replace(trouble=tuple(trouble), symbols=SYMBOLS, strategies=("one", "two"))
    fast, slow = (lived(story, fast_forward=fast_forward) for fast_forward in (True, False))
    assert difference(fast, slow) is None


@as_drawn
@drawn(stories.map(lambda story: story._replace(symbols=SYMBOLS, trouble=("alone",))), st.permutations(SYMBOLS))
def test_a_book_that_shares_nothing_lives_among_others_as_if_it_were_alone(story, order):
    together = lived(story._replace(symbols=tuple(order)))
    for symbol in SYMBOLS:
        alone = lived(story, only=symbol)
        for mine, theirs in zip(alone[:2], together[:2], strict=True):
            assert difference((mine,), ([each for each in theirs if about(each).symbol == symbol],)) is None


@pytest.mark.parametrize("fast_forward", [True, False])
@as_drawn
@drawn(story=stories, trouble=st.lists(st.sampled_from([each for each in TROUBLE if each != "stops"]), unique=True))
def test_time_never_runs_backwards_for_those_who_listen(story, trouble, fast_forward):
    _, events, _ = lived(story._replace(trouble=tuple(trouble), symbols=SYMBOLS), fast_forward=fast_forward)
    times = [entry[0] for entry in events]
    assert times == sorted(times)


@as_drawn
@drawn(stories)
def test_for_and_async_for_tell_the_same_story(story):
    assert difference(lived(story, fast_forward=True), lived(story, iterate=in_a_loop)) is None


@as_drawn
@drawn(stories.map(lambda story: story._replace(commands=0.0)))
def test_who_listens_changes_nothing_of_what_happens(story):
    deaf, all_ears = (lived(story._replace(kinds=kinds)) for kinds in ((), LISTENABLE))
    assert difference((deaf[0],), (all_ears[0],)) is None


def test_the_stories_are_not_empty():
    rules = {"exit_rule": "touch", "fill_rule": "honest", "schedule_await_minutes": 30, "dca_everywhere": True}
    story = Story(1, SYMBOLS, ("one", "two"), LISTENABLE, 0.05, ("other books", "jobs"), False, rules)
    results, events, facts = lived(story)
    actions = {about(each).action for each in (*results, *events)}
    assert {"scheduled", "opened", "closed", "cancelled", "commit", "risk_rejected", "waiting", "active"} <= actions
    assert {"job"} < actions
    assert dict(facts)["invalid_signal_count"] > 0


def lived(
    story: Story, iterate: Callable[[Any], list[Any]] = list, only: str | None = None, **settings: Any
) -> tuple[Any, ...]:
    """One run: its results, everything that listeners were told and when, and what was counted."""
    with fresh_app() as app:
        declared(story)
        events = listening(app, story)
        rules = {**story.rules, **settings, "min_take_profit_distance_percent": 0.0, "on_gap": "skip"}
        results = iterate(bk.Backtest.run(only or story.symbols, strategy_name=story.strategies, **rules))
        facts = bk.Backtest.get_data().facts
    return results, events, list(asdict(replace(facts, duration_seconds=0.0, settings={})).items())


def difference(one: tuple[list[Any], ...], other: tuple[list[Any], ...]) -> Any:
    """The first place at which two lives differ, as both have it; None where they are the same."""
    for mine, theirs in zip(one, other, strict=True):
        for number, pair in enumerate(zip_longest(mine, theirs)):
            if pair[0] != pair[1] and repr(pair[0]) != repr(pair[1]):  # a price in a gap is NaN, which equals nothing
                return number, *pair
    return None


def about(entry: Any) -> Any:
    """The event of a result, or of an entry of the listeners' log."""
    return entry[-1] if isinstance(entry, tuple) else entry


def in_a_loop(results: Any) -> list[Any]:
    return asyncio.run(collected(results))


def declared(story: Story) -> None:
    """Markets, strategies and a profile that all of them share."""
    tables = {symbol: market(story, symbol) for symbol in SYMBOLS}
    given(tables, frame=(10, 310), interval=chances(story, "frame").choice(["1m", "1m", "3m"]))
    bk.add_risk("shared", validations=bk.at_most_open(2))
    for name in story.strategies:
        interval = chances(story, name).choice(["1m", "3m", "5m", "15m"])
        plain = strategy_of(story, name)
        get_signal = awaiting(plain) if story.asynchronous else plain
        risks = () if "alone" in story.trouble else ("shared",)
        bk.add_strategy(name, get_signal, interval=interval, risk_names=risks)


def market(story: Story, symbol: str) -> dict[str, Any]:
    """A market of a symbol's own, with minutes missing where that is drawn."""
    luck = chances(story, symbol)
    table = walk(330, luck.getrandbits(32))
    if "gaps" not in story.trouble:
        return table
    holes = [luck.randrange(20, 320) for _ in range(luck.choice([0, 1, 3]))]
    return without(table, *(hole + minute for hole in holes for minute in range(luck.choice([1, 4, 20]))))


def awaiting(plain: Callable[..., Any]) -> Callable[..., Any]:
    async def get_signal(symbol: str, when: int, price: float) -> Any:
        if when % (7 * MINUTE) == 0:
            await asyncio.sleep(0)
        return plain(symbol, when, price)

    return get_signal


def chances(story: Story, *key: object) -> random.Random:
    """Chances that depend on the story and on what is asked, not on how often was asked before."""
    return random.Random(f"{story.seed} {key}")


def strategy_of(story: Story, name: str) -> Callable[..., Any]:
    """Signals now and then: at once or at a limit, sometimes with an old id, sometimes impossible."""

    def get_signal(symbol: str, when: int, price: float) -> Any:
        luck = chances(story, name, symbol, when)
        if luck.random() > 0.25:
            return None
        position = luck.choice(["long", "short"])
        sign = 1 if position == "long" else -1
        entry = luck.choice([None, price - sign * luck.uniform(-0.2, 1.5)])
        middle = price if entry is None else entry
        return {
            "position": position,
            "price_open": entry,
            "price_take_profit": round(middle + sign * luck.uniform(0.1, 3), luck.choice([0, 2, 6])),
            "price_stop_loss": round(middle - sign * luck.uniform(0.6, 3), luck.choice([0, 2, 6])),
            "minute_estimated_time": luck.choice([5, 40, 300]),
            "leverage": luck.choice([1.0, 1.0, 40.0]),
            "id": luck.choice(["", "", "", "again"]),
        }

    return get_signal


def listening(app: App, story: Story) -> list[Any]:
    """Takes down all events told, with what user code may see then; pings and jobs command."""
    events: list[Any] = []

    def take_down(event: Any) -> None:
        context = bk.get_context()
        position = bk.get_position()
        shown = replace(event, terms=Terms()) if isinstance(event, ActivePing) else event  # they say which driver it is
        events.append((context.when, context.price, None if position is None else position.pnl, shown))
        if isinstance(event, PINGS):
            command(story, event)
        if "listeners come and go" in story.trouble:
            come_and_go(app, story, event, take_down)

    def do_job(tick: CronTick) -> None:
        job = Job(tick.symbol or story.symbols[0], tick.when)
        events.append((tick.when, [position_of(symbol, name) for symbol, name in books_of(story)], job))
        command(story, job, also=0.5)
        if "listeners come and go" in story.trouble:
            come_and_go(app, story, job, take_down)

    if "jobs" in story.trouble:
        bk.add_cron("job", do_job, interval="15m", symbols=chances(story, "job").choice([None, story.symbols]))
    app.listeners.add(Subscription((*FACTS, *EDGES[:4], *story.kinds), take_down))
    return events


class Job(NamedTuple):
    """What a job stands for in the log: a moment that commands like a ping does."""

    symbol: str
    time: int
    strategy_name: str = "one"
    action: str = "job"


def books_of(story: Story) -> list[tuple[str, str]]:
    return [(symbol, name) for symbol in story.symbols for name in story.strategies]


def position_of(symbol: str, name: str) -> Any:
    position = bk.get_position(symbol, strategy_name=name)
    return None if position is None else (position.pnl, position.minutes_active, position.peak, position.drawdown)


def come_and_go(app: App, story: Story, event: Any, handler: Callable[[Any], None]) -> None:
    """Sometimes one more listener comes for a kind of event, once."""
    luck = chances(story, "coming", event.strategy_name, event.symbol, event.time, event.action)
    if luck.random() < 0.05:
        app.listeners.add(Subscription([luck.choice(LISTENABLE)], handler, once=True))


def command(story: Story, event: Any, also: float = 0.0) -> None:
    """Sometimes a command: to the book of the event, or to any book of the run."""
    luck = chances(story, event.strategy_name, event.symbol, event.time, event.action)
    if luck.random() >= max(story.commands, also):
        return
    symbol, name = event.symbol, event.strategy_name
    if "other books" in story.trouble:
        symbol, name = luck.choice(books_of(story))
    if "stops" in story.trouble and luck.random() < 0.05:
        bk.Backtest.stop(symbol, strategy_name=name)
    shift = round(luck.uniform(-3, 1), 2)
    price = bk.get_average_price(symbol)
    luck.choice(
        [
            lambda **book: bk.commit_partial_profit(symbol, 30, **book),
            lambda **book: bk.commit_partial_loss(symbol, 30, **book),
            lambda **book: bk.commit_average_buy(symbol, 50, **book),
            lambda **book: bk.commit_breakeven(symbol, **book),
            lambda **book: bk.commit_trailing_stop(symbol, shift, **book),
            lambda **book: bk.commit_trailing_take(symbol, shift, **book),
            lambda **book: bk.commit_close_pending(symbol, note="enough", **book),
            lambda **book: bk.commit_cancel_scheduled(symbol, **book),
            lambda **book: bk.commit_activate_scheduled(symbol, **book),
            lambda **book: bk.commit_signal_notify(symbol, "hello", **book),
            lambda **book: bk.commit_partial_profit(symbol, 100, price=price * 1.0001, **book),
            lambda **book: queued(symbol, price, **book),
        ]
    )(strategy_name=name)


def queued(symbol: str, price: float, **book: str) -> None:
    if price == price:  # not in a gap
        signal = bk.Signal.bracket("long", price, take_profit_percent=2, stop_loss_percent=2)
        bk.commit_create_signal(symbol, signal, **book)
