"""Money is conserved: what a position says it made is what moved in a cash book; nothing is sold that is not held."""

from __future__ import annotations

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from backtest_kit.core.events import Wanted
from backtest_kit.core.forward import step_by_step
from backtest_kit.core.inputs import Cut, Decided, Filled, Manage
from backtest_kit.core.machine import decide, settled
from backtest_kit.core.position import Fill, Position, averaged, opened, profit, profit_percent, reduced
from backtest_kit.core.state import Active, Idle, unanswered
from backtest_kit.core.values import Signal, Terms
from tests.properties.markets import SOURCE, START, World, terms, worlds

SELLING = ("partial_profit", "partial_loss")


class CashBook:
    """Quote currency that came in and went out, and the units that it bought: long first buys, short first sells.

    It knows of no percent of profit, no basis and no effective price.
    """

    def __init__(self, signal: Signal) -> None:
        self.sign, self.leverage = signal.sign, signal.leverage
        self.cash, self.units, self.fees, self.turnover = 0.0, 0.0, 0.0, 0.0

    def enter(self, price: float, quantity: float, fee: float) -> None:
        self.units += quantity
        self._move(-self.sign * price * quantity, fee)

    def leave(self, price: float, quantity: float, fee: float) -> None:
        self.units -= quantity
        self._move(self.sign * price * quantity, fee)

    def _move(self, amount: float, fee: float) -> None:
        self.cash += amount - fee
        self.fees += fee
        self.turnover += abs(amount)

    def agrees(self, cost: float) -> bool:
        return math.isclose(self.cash, cost, rel_tol=1e-9, abs_tol=1e-9 * self.turnover)


def modelled_cash(events, terms: Terms) -> CashBook:
    """A cash book kept from what was said alone: entries, commands, the close, each at its slippage and its fee."""
    first = next(event for event in events if event.action == "opened")
    book = CashBook(first.signal)
    slip, fee = book.sign * terms.slippage_percent / 100, terms.fee_percent / 100

    def enter(price: float, cost: float) -> None:
        money = cost * book.leverage
        book.enter(price * (1 + slip), money / (price * (1 + slip)), money * fee)

    def leave(price: float, share: float) -> None:
        quantity = book.units * share
        book.leave(price * (1 - slip), quantity, price * (1 - slip) * quantity * fee)

    enter(first.price, first.signal.cost)
    for event in events:
        if event.action == "commit" and event.accepted and event.command == "average_buy":
            enter(event.price, event.amount)
        if event.action == "commit" and event.accepted and event.command in SELLING:
            leave(event.price, event.amount / 100)
        if event.action == "closed":
            leave(event.price, 1.0)
    return book


def ended(world: World) -> World:
    """The world at its end: the rows that are left, and then the frame is over."""
    tape = world.tape
    state, row, events = step_by_step(world.state, tape, world.row, len(tape), Wanted.EVERYTHING, world.terms, SOURCE)
    cut = Cut(tape.time(row), float(tape.price[row - 1]), "frame_end")
    state, more = settled(state, cut, world.terms, SOURCE)
    return world._replace(state=state, row=row, events=(*world.events, *events, *more))


everywhere = st.builds(
    Terms,
    slippage_percent=st.sampled_from([0.1, 0.0, 1.0]),
    fee_percent=st.sampled_from([0.1, 0.0, 0.5]),
    dca_everywhere=st.just(True),
    partials_everywhere=st.just(True),
    trailing_everywhere=st.just(True),
)


@given(worlds(st.one_of(everywhere, terms()), scheduled=st.just(False), open_end=False))
def test_the_profit_of_a_closed_position_is_what_a_cash_book_of_its_events_says(world):
    world = ended(world)
    (closed,) = (event for event in world.events if event.action == "closed")
    book = modelled_cash(world.events, world.terms)
    assert type(world.state) is Idle
    assert book.agrees(closed.pnl.cost)
    assert math.isclose(book.units, 0.0, abs_tol=1e-9)
    assert closed.pnl.cost == closed.pnl.percent / 100 * closed.pnl.invested


prices = st.floats(50, 200)
costs = st.floats(1, 1000)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), prices, costs),
        st.tuples(st.just("part"), prices, st.floats(0.5, 99)),
    ),
    max_size=6,
)


@st.composite
def positions(draw, most_leverage: float = 50.0) -> tuple[Position, Terms]:
    """A position that was added to and sold from in any order, at any price."""
    ruled = draw(everywhere)
    signal = Signal(
        draw(st.sampled_from(["long", "short"])), 100.0, 100.0,
        cost=draw(costs), leverage=draw(st.floats(1, most_leverage)), isolated=draw(st.booleans()), id="s",
    )  # fmt: skip
    position = opened(signal, START, draw(prices), ruled)
    for kind, price, amount in draw(steps):
        if kind == "add":
            position = averaged(position, START, price, amount, ruled)
        else:
            position = reduced(position, START, price, amount, "profit", ruled)
    return position, ruled


@given(positions(), prices, st.floats(0.5, 99))
def test_a_partial_exit_never_moves_the_effective_price_and_sells_its_share(drawn, price, percent):
    position, ruled = drawn
    after = reduced(position, START, price, percent, "loss", ruled)
    share = 1 - percent / 100
    assert math.isclose(after.effective_price, position.effective_price, rel_tol=1e-12)
    assert math.isclose(after.held_percent, position.held_percent * share, rel_tol=1e-12)
    assert math.isclose(after.coins, position.coins * share, rel_tol=1e-12)


@given(positions(), prices, st.floats(0.5, 100))
def test_leaving_a_part_and_the_rest_at_one_price_is_leaving_the_whole_there(drawn, price, percent):
    position, ruled = drawn
    parted = reduced(position, START, price, percent, "profit", ruled)
    whole = profit_percent(position, price, ruled)
    assert math.isclose(
        profit_percent(parted, price, ruled), whole, rel_tol=1e-9, abs_tol=1e-9 * position.signal.leverage
    )


@given(positions(), prices, costs)
def test_an_average_buy_moves_the_effective_price_towards_its_own_and_not_past_it(drawn, price, cost):
    position, ruled = drawn
    after = averaged(position, START, price, cost, ruled)
    low, high = sorted([position.effective_price, price])
    assert low * (1 - 1e-12) <= after.effective_price <= high * (1 + 1e-12)
    assert math.isclose(after.invested, position.invested + cost)


@given(positions())
def test_what_is_held_and_what_was_taken_out_are_what_was_put_in(drawn):
    position, _ = drawn
    sold = sum(leg.basis * leg.percent / 100 for leg in position.exits)
    assert math.isclose(sold + position.basis, position.invested, rel_tol=1e-9)
    assert 0 <= position.held_percent <= 100 * (1 + 1e-12)


@given(positions(most_leverage=100.0))
def test_e4_at_the_liquidation_price_exactly_all_the_money_is_gone(drawn):
    position, ruled = drawn
    level = position.liquidation_price
    if not position.signal.isolated:
        assert level is None
    elif level is not None:
        assert level > 0
        farness = max(level / position.effective_price, position.effective_price / level)
        steepness = position.signal.leverage * farness
        assert math.isclose(profit_percent(position, level, ruled), -100, abs_tol=1e-7 * steepness)
    else:  # a long has money left at no price at all; a short has lost it at every price already
        assert position.sign * (profit_percent(position, 1e-12, ruled) + 100) >= -1e-6


@given(worlds(everywhere, scheduled=st.booleans(), open_end=False))
def test_e4_a_stop_or_liquidation_of_an_isolated_position_never_costs_more_than_was_put_in(world):
    for event in ended(world).events:
        stopped = event.action == "closed" and event.close_reason in ("stop_loss", "liquidation")
        if stopped and event.signal.isolated and event.price == event.position.stop_level:
            assert event.pnl.percent >= -100 - 1e-6


# ---- with fills that an exchange has reported ----------------------------------------------------------------------

real_fills = st.builds(Fill, st.floats(90, 110), st.floats(0.1, 5), st.floats(0, 0.5))
orders = st.lists(st.tuples(st.sampled_from(["average_buy", "partial_profit", "partial_loss"]), real_fills), max_size=4)


def filled_life(signal: Signal, first: Fill, given, rest_at: float, pieces: int, fee: float):
    """A position whose every order was filled by a real fill, and the cash book of these fills."""
    ruled, book = Terms(dca_everywhere=True, partials_everywhere=True), CashBook(signal)
    state, _ = decide(Idle(), Decided(START, 100.0, signal), ruled, SOURCE)
    state, _ = answered(state, first, ruled)
    book.enter(first.price, first.quantity, first.fee)
    for kind, offered in given:
        assert type(state) is Active
        asked, _ = decide(state, Manage(kind, START, 100.0, 10.0), ruled, SOURCE)
        if kind == "average_buy":
            fill = offered
            book.enter(fill.price, fill.quantity, fill.fee)
        else:
            fill = Fill(offered.price, min(offered.quantity, book.units * 0.6), offered.fee)
            book.leave(fill.price, fill.quantity, fill.fee)
        state, _ = answered(asked, fill, ruled)
    state, events = decide(state, Cut(START, 100.0, "frame_end"), ruled, SOURCE)
    for left in range(pieces, 0, -1):
        fill = Fill(rest_at, book.units / left, fee)
        book.leave(fill.price, fill.quantity, fill.fee)
        state, events = answered(state, fill, ruled)
    return state, events, book


def answered(state, fill: Fill, ruled: Terms):
    order = unanswered(state)
    assert order is not None
    return decide(state, Filled(order.id, START, fill), ruled, SOURCE)


@given(
    st.sampled_from(["long", "short"]),
    st.sampled_from([1.0, 2.0, 10.0]),
    real_fills,
    orders,
    st.floats(80, 120),
    st.integers(1, 3),
    st.floats(0, 0.5),
)
def test_d12_with_real_fills_the_profit_is_the_real_cash_real_fees_included(
    side, leverage, first, given, rest_at, pieces, fee
):
    far = (200.0, 50.0) if side == "long" else (50.0, 200.0)
    signal = Signal(side, *far, cost=100.0, leverage=leverage, isolated=False, id="s")
    state, events, book = filled_life(signal, first, given, rest_at, pieces, fee)
    (closed,) = events
    assert type(state) is Idle
    assert book.agrees(closed.pnl.cost)
    assert math.isclose(closed.pnl.cost, closed.pnl.percent / 100 * closed.pnl.invested)


@given(positions(), prices)
def test_profit_in_money_is_profit_in_percent_of_all_that_was_put_in(drawn, price):
    position, ruled = drawn
    made = profit(position, price, ruled)
    assume(made.invested > 0)
    assert made.percent == profit_percent(position, price, ruled)
    assert (made.cost, made.price_close) == (made.percent / 100 * position.invested, price)
