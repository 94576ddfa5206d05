"""All books of a risk profile together: places reserved, taken and given back."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from backtest_kit.core.portfolio import Holding, Portfolio
from backtest_kit.core.position import averaged, opened, reduced
from backtest_kit.core.values import Signal, Source, Terms
from tests.properties.markets import START

TERMS = Terms()
BTC, ETH = Source("BTCUSDT", "sma", "memory"), Source("ETHUSDT", "sma", "memory")
SIGNAL = Signal("long", 110.0, 90.0, cost=50.0, leverage=3.0, id="s")


def reserved(source: Source = BTC, signal: Signal = SIGNAL) -> Holding:
    return Holding(source, signal, START, 100.0)


def taken(source: Source = BTC) -> Holding:
    return replace(reserved(source), position=opened(SIGNAL, START, 100.0, TERMS))


def test_an_empty_portfolio_holds_nothing():
    assert (len(Portfolio()), Portfolio().exposure, Portfolio().of(BTC)) == (0, 0.0, None)


def test_a_place_is_reserved_then_taken_then_released():
    portfolio = Portfolio().with_holding(reserved())
    assert portfolio.of(BTC).is_reserved
    portfolio = portfolio.with_holding(taken())
    assert (len(portfolio), portfolio.of(BTC).is_reserved) == (1, False)
    assert portfolio.released(BTC) == Portfolio()


def test_a_portfolio_is_a_value_and_the_earlier_one_stays_as_it_was():
    earlier = Portfolio().with_holding(reserved())
    later = earlier.with_holding(reserved(ETH))
    assert (len(earlier), len(later), len(later.released(BTC))) == (1, 2, 1)


def test_a_book_has_one_place_and_its_own_does_not_count_against_it():
    portfolio = Portfolio().with_holding(reserved()).with_holding(reserved(ETH)).with_holding(taken())
    assert len(portfolio) == 2
    assert [holding.source for holding in portfolio.without(BTC).holdings] == [ETH]


@pytest.mark.parametrize("part", ["symbol", "strategy_name", "exchange_name", "frame_name"])
def test_h7u_books_that_differ_in_any_part_of_their_source_have_places_of_their_own(part):
    other = replace(BTC, **{part: "other"})
    portfolio = Portfolio().with_holding(reserved()).with_holding(reserved(other))
    assert len(portfolio) == 2
    assert portfolio.released(other).of(BTC) == reserved()


def test_releasing_what_is_not_held_changes_nothing():
    portfolio = Portfolio().with_holding(reserved())
    assert portfolio.released(ETH) == portfolio


def test_exposure_is_money_times_leverage_reserved_or_not():
    assert reserved().exposure == taken().exposure == 150.0
    assert Portfolio().with_holding(reserved()).with_holding(taken(ETH)).exposure == 300.0


def test_exposure_follows_what_is_added_and_taken_out():
    position = averaged(taken().position, START, 95.0, 30.0, TERMS)
    assert replace(taken(), position=position).exposure == 240.0
    assert replace(taken(), position=reduced(position, START, 105.0, 50.0, "profit", TERMS)).exposure == 120.0


def test_a_holding_names_its_symbol_and_strategy():
    assert (reserved(ETH).symbol, reserved(ETH).strategy_name) == ("ETHUSDT", "sma")
