"""How far the result of a sample can be trusted: intervals, and the chance that it is luck.

A sample of trades is one draw of what the strategy could have made of such a market. The bootstrap asks how far the
figures would scatter if it were drawn again (Efron and Tibshirani, An Introduction to the Bootstrap, 1993). Trades that
follow each other are not independent: they overlap, and share the phase of the market they were made in. So not single
trades are drawn but blocks of trades in closing order, the last one followed by the first (circular block bootstrap:
Politis and Romano, 1992), each of ∛n trades, rounded up, the growth that Hall, Horowitz and Jing (On blocking rules for
the bootstrap with dependent data, 1995) found for the variance.

A small sample knows little of its own extremes: of a few dozen trades these intervals are rather too narrow.

Probabilistic Sharpe ratio and minimum track record length: Bailey and López de Prado, The Sharpe Ratio Efficient
Frontier, 2012. Deflated Sharpe ratio: the same, The Deflated Sharpe Ratio, 2014.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backtest_kit.core.candles import Floats
from backtest_kit.errors import ConfigError
from backtest_kit.reports.trades import Figure, Missing, Trade, too_few

LEVEL = 95.0
MOST_BLOCKS = 200_000
MIN_DRAWS, MOST_DRAWS = 200, 2_000
EPS = 1e-9

_NORMAL = NormalDist()
_EULER = 0.5772156649015329


class IntervalOf(Struct, frozen=True):
    """A bootstrap confidence interval: `low` to `high` holds the figure with `level` percent confidence."""

    low: float
    high: float
    level: float = LEVEL


class Significance(Struct, frozen=True, kw_only=True):
    """Confidence intervals of figures per trade, and how probable it is that there is an edge at all.

    None where the sample cannot carry a figure, `missing` says why. `avg_pnl` and `win_rate` are percent, the other
    intervals ratios. `p_value` is the chance (0 to 1) of a mean profit like this one if the true mean were zero. The
    Sharpe ratios are probabilities (0 to 1) that the true ratio per trade is above zero, and above what the best of
    `trials` tries without an edge would have shown; `minimum_track_record_length` is the number of trades from which a
    ratio like this one would be above zero with 95 % confidence.
    """

    avg_pnl: IntervalOf | None
    win_rate: IntervalOf | None
    sharpe_ratio: IntervalOf | None
    profit_factor: IntervalOf | None
    p_value: float | None
    probabilistic_sharpe_ratio: float | None
    deflated_sharpe_ratio: float | None
    minimum_track_record_length: float | None
    trials: int
    missing: Mapping[str, str]


class Moments(Struct, frozen=True):
    """The shape of a sample of returns: mean, sample deviation, skewness (normal: 0) and kurtosis (normal: 3)."""

    count: int
    mean: float
    deviation: float
    skewness: float
    kurtosis: float

    @property
    def sharpe_ratio(self) -> float:
        """Mean over deviation, per observation."""
        return self.mean / self.deviation


def moments(values: Sequence[float] | Floats) -> Moments | Missing:
    """The moments of at least ten values that differ; else why there are none."""
    sample = np.asarray(values, dtype=np.float64)
    lacking = too_few(len(sample))
    if lacking is not None:
        return lacking
    distances = sample - sample.mean()
    squares = distances * distances
    variance = float(squares.mean())
    deviation = math.sqrt(variance * len(sample) / (len(sample) - 1))
    if deviation <= EPS:
        return _STILL
    skewness, kurtosis = float((squares * distances).mean()) / variance**1.5, float((squares * squares).mean())
    return Moments(len(sample), float(sample.mean()), deviation, skewness, kurtosis / variance**2)


def significance(trades: Sequence[Trade], trials: int = 1, seed: int = 0) -> Significance:
    """Intervals of 95 % (percentiles of the bootstrap), and the tests of the Sharpe ratio per trade.

    `trials` is how many variants were tried before this one was shown. The same trades and `seed` give the same answer,
    whatever order they are given in. As many samples are drawn as 200,000 blocks allow, at least 200 and at most 2,000.
    Raises ConfigError when `trials` is less than one.
    """
    if trials < 1:
        raise ConfigError(f"trials must be at least 1, not {trials!r}")
    pnls = _in_line(trades)
    shape = moments(pnls)
    figures: dict[str, _Answer] = (
        dict.fromkeys(_FIGURES, shape) if isinstance(shape, Missing) else _figures(pnls, shape, trials, seed)
    )
    reasons = {name: each.reason for name, each in figures.items() if isinstance(each, Missing)}
    said = {name: None if isinstance(each, Missing) else each for name, each in figures.items()}
    return Significance(**said, trials=trials, missing=reasons)  # type: ignore[arg-type]  # the kinds are by name


_Answer: TypeAlias = IntervalOf | Figure
_FIGURES = tuple(each for each in Significance.__struct_fields__ if each not in ("trials", "missing"))
_STILL = Missing("the profits of the trades do not differ")
_NO_SPREAD = Missing("the Sharpe ratio of such a sample has no deviation to be judged by")


def probabilistic_sharpe_ratio(sample: Moments, benchmark: float = 0.0) -> Figure:
    """The probability (0 to 1) that the true Sharpe ratio is above `benchmark`, skewness and kurtosis considered.

    `Φ((SR − benchmark) · √(n − 1) / √(1 − skewness · SR + (kurtosis − 1)/4 · SR²))`, ratios per observation.
    """
    spread = _spread(sample)
    if isinstance(spread, Missing):
        return spread
    return _NORMAL.cdf((sample.sharpe_ratio - benchmark) * math.sqrt(sample.count - 1) / spread)


def deflated_sharpe_ratio(sample: Moments, trials: int, variance: float | None = None) -> Figure:
    """The probabilistic Sharpe ratio against the best that `trials` independent tries without an edge would show.

    `variance` is that of the Sharpe ratios of the trials; without it, that of a strategy with no edge: `1/(n − 1)`.
    """
    if variance is None:
        variance = 1 / (sample.count - 1)
    return probabilistic_sharpe_ratio(sample, math.sqrt(variance) * expected_best(trials))


def expected_best(trials: int) -> float:
    """The expected highest of `trials` draws of a normal distribution, in its deviations: 0 for one.

    `(1 − γ) · Φ⁻¹(1 − 1/N) + γ · Φ⁻¹(1 − 1/(N·e))` with Euler's constant γ (Bailey and López de Prado, 2014).
    """
    if trials == 1:
        return 0.0
    return -(1 - _EULER) * _NORMAL.inv_cdf(1 / trials) - _EULER * _NORMAL.inv_cdf(1 / (trials * math.e))


def minimum_track_record_length(sample: Moments, benchmark: float = 0.0, confidence: float = LEVEL) -> Figure:
    """How many observations a ratio like this one needs to be above `benchmark` with `confidence` percent.

    `1 + (1 − skewness · SR + (kurtosis − 1)/4 · SR²) · (Φ⁻¹(confidence) / (SR − benchmark))²`
    """
    spread, ahead = _spread(sample), sample.sharpe_ratio - benchmark
    if isinstance(spread, Missing):
        return spread
    if ahead <= EPS:
        return Missing("the Sharpe ratio is not above that to be beaten: no length would do")
    return 1 + (spread * _NORMAL.inv_cdf(confidence / 100) / ahead) ** 2


def _spread(sample: Moments) -> Figure:
    """The deviation of an estimated Sharpe ratio times √(n − 1).

    It vanishes for a sample of two values only, at one ratio between them.
    """
    ratio = sample.sharpe_ratio
    square = 1 - sample.skewness * ratio + (sample.kurtosis - 1) / 4 * ratio * ratio
    return math.sqrt(square) if square > EPS else _NO_SPREAD


def _in_line(trades: Sequence[Trade]) -> Floats:
    """The profits in percent by closing time; of trades that closed together in an order of their own."""
    pnls = np.array([each.pnl_percent for each in trades], dtype=np.float64)
    opened = np.array([each.opened_at for each in trades], dtype=np.int64)
    closed = np.array([each.closed_at for each in trades], dtype=np.int64)
    in_line: Floats = pnls[np.lexsort((pnls, opened, closed))]
    return in_line


def _figures(pnls: Floats, shape: Moments, trials: int, seed: int) -> dict[str, _Answer]:
    drawn = _Drawn(pnls, seed)
    return {
        "avg_pnl": _interval(shape.mean + drawn.means),
        "win_rate": _win_rate(pnls, drawn),
        "sharpe_ratio": _interval(_quotient(shape.mean + drawn.means, drawn.deviations)),
        "profit_factor": _profit_factor(pnls, drawn),
        # The distances from the mean have a mean of zero: what they show is what chance alone shows.
        "p_value": float(1 + np.count_nonzero(drawn.means >= shape.mean)) / (len(drawn.means) + 1),
        "probabilistic_sharpe_ratio": probabilistic_sharpe_ratio(shape),
        "deflated_sharpe_ratio": deflated_sharpe_ratio(shape, trials),
        "minimum_track_record_length": minimum_track_record_length(shape),
    }


class _Drawn:
    """Sums over samples that were drawn: all that the figures need of them.

    `means` are those of the distances from the mean of the sample. Sums over blocks are made once, by differences of
    running sums: a draw adds up blocks, not trades.
    """

    def __init__(self, pnls: Floats, seed: int) -> None:
        count, length = len(pnls), math.ceil(len(pnls) ** (1 / 3) - EPS)
        whole, rest = divmod(count, length)
        draws = max(MIN_DRAWS, min(MOST_DRAWS, MOST_BLOCKS // whole))
        chance = np.random.default_rng(seed)
        starts, last = chance.integers(count, size=(draws, whole)), chance.integers(count, size=draws)

        def drawn(values: Floats) -> Floats:
            blocks: Floats = _block_sums(values, length)[starts].sum(axis=1)
            blocks += _block_sums(values, rest)[last]
            return blocks

        distances = pnls - pnls.mean()
        self.means = drawn(distances) / count
        squares = drawn(distances * distances) - count * self.means * self.means
        self.deviations = np.sqrt(np.maximum(squares, 0.0) / (count - 1))
        self.wins, self.losses = drawn(_flags(pnls > 0)), drawn(_flags(pnls < 0))
        self.won, self.lost = drawn(np.maximum(pnls, 0.0)), drawn(np.maximum(-pnls, 0.0))


def _flags(mask: NDArray[np.bool_]) -> Floats:
    return mask.astype(np.float64)


def _block_sums(values: Floats, length: int) -> Floats:
    """The sum of `length` values (none: 0) from every place on; after the last value comes the first."""
    running = np.concatenate(([0.0], np.cumsum(np.concatenate((values, values[:length])))))
    sums: Floats = running[length : length + len(values)] - running[: len(values)]
    return sums


def _quotient(above: Floats, below: Floats) -> Floats:
    """The quotients; infinite where there is nothing to divide by."""
    quotients: Floats = np.divide(above, below, out=np.full(len(above), np.inf), where=below > EPS)
    return quotients


def _interval(values: Floats) -> IntervalOf | Missing:
    """The middle 95 % of the values; none where more of them than that leaves out could not be computed."""
    ranked = np.sort(values)
    left_out = round(len(ranked) * (100 - LEVEL) / 200)
    low, high = float(ranked[left_out]), float(ranked[-1 - left_out])
    return IntervalOf(low, high) if math.isfinite(low) and math.isfinite(high) else _TOO_RARE


_TOO_RARE = Missing("too many of the drawn samples have nothing to divide by")


def _win_rate(pnls: Floats, drawn: _Drawn) -> IntervalOf | Missing:
    return _one_sided(pnls) or _interval(_quotient(drawn.wins * 100, drawn.wins + drawn.losses))


def _profit_factor(pnls: Floats, drawn: _Drawn) -> IntervalOf | Missing:
    return _one_sided(pnls) or _interval(_quotient(drawn.won, drawn.lost))


def _one_sided(pnls: Floats) -> Missing | None:
    """Why wins cannot be weighed against losses: drawn again, a sample without one of them never has it."""
    if pnls.min() < 0 < pnls.max():
        return None
    return Missing("no losing trade" if pnls.min() >= 0 else "no winning trade")
