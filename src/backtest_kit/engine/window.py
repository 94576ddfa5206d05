"""What user code may see of a column: the rows up to now, in memory in which the rest does not exist yet.

A view of numpy leads back to the whole array that it was cut from. So user code never gets a view of the engine's
columns, but of a `Screen`: a buffer of its own into which rows are copied when they are first asked for, never before
their candle has closed. Beyond them stand zeros. The buffer is read-only for everybody but its screen.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backtest_kit.core.candles import COLUMNS, Candles, Floats
from backtest_kit.core.values import Interval, Time
from backtest_kit.errors import ConfigError, LookAheadError, StrategyError

if TYPE_CHECKING:
    import pandas
    import polars


_BLOCK = 16_384  # rows


class Screen:
    """One column as user code may see it: a block of memory, here below row `shown`, and zero from there on.

    The block begins at row `base`; when a window does not fit into it, the next block begins at that window. `view` is
    the block, read-only; windows that user code keeps keep their own block alive, and nothing else does.
    """

    __slots__ = ("_source", "_writable", "base", "shown", "view")
    base: int
    shown: int
    view: Floats

    def __init__(self, source: NDArray[np.float64]) -> None:
        self._source = memoryview(source)  # type: ignore[arg-type]  # copies a few numbers faster than numpy does
        self._begin(0, 0)

    def rows(self, first: int, stop: int) -> Floats:
        """The rows [first, stop), of candles that have closed."""
        if stop > self.shown or first < self.base:
            self.show(first, stop)
        return self.view[first - self.base : stop - self.base]

    def show(self, first: int, stop: int) -> None:
        """Copies in the rows up to `stop` that are not here yet; in a new block where they do not fit."""
        base, shown = self.base, self.shown
        if first < base or stop - base > len(self.view):
            self._begin(first, max(_BLOCK, 2 * (stop - first)))
            base = shown = first
        if stop == shown + 1:
            self._writable[shown - base] = self._source[shown]
        else:
            self._writable[shown - base : stop - base] = self._source[shown:stop]
        self.shown = stop

    def _begin(self, base: int, rows: int) -> None:
        memory = bytearray(8 * min(rows, len(self._source) - base))
        self._writable = memoryview(memory).cast("d")
        self.view = np.frombuffer(memoryview(memory).toreadonly(), dtype=np.float64)
        self.base = self.shown = base


class CandleWindow(Candles):
    """The last candles of one interval, closed by `when`.

    Closes are cut at once, other columns when they are first read.
    """

    __slots__ = ("_first", "_pane", "_stop")

    def __init__(self, pane: Pane, first: int, stop: int) -> None:
        self._pane = pane
        self._first = first
        self._stop = stop
        closes = pane.closes
        if stop > closes.shown or first < closes.base:
            closes.show(first, stop)
        base = closes.base
        self.close = closes.view[first - base : stop - base]

    def _column(self, name: str) -> Floats:
        return (self._pane.screens.get(name) or self._pane.screen(name)).rows(self._first, self._stop)

    # Worked out when they are asked for, each by its name: a `__getattr__` would slow down all other attributes.

    @property
    def open(self) -> Floats:  # type: ignore[override]
        return self._column("open")

    @property
    def high(self) -> Floats:  # type: ignore[override]
        return self._column("high")

    @property
    def low(self) -> Floats:  # type: ignore[override]
        return self._column("low")

    @property
    def volume(self) -> Floats:  # type: ignore[override]
        return self._column("volume")

    @property
    def interval(self) -> Interval:  # type: ignore[override]
        return self._pane.interval

    @property
    def start(self) -> Time:  # type: ignore[override]
        return self._pane.start + self._first * self._pane.step

    def __len__(self) -> int:
        return self._stop - self._first

    def __await__(self) -> Generator[None, None, CandleWindow]:
        """`await get_candles(…)` and `get_candles(…)` are the same where the candles are here already."""
        return self
        yield

    def __reduce__(self) -> tuple[Any, ...]:
        """A copied or pickled window is plain candles of its own: nothing behind it goes along."""
        return Candles, (self.interval, self.start, *(np.array(self[name]) for name in COLUMNS))

    def rows(self, first: int, last: int) -> CandleWindow:
        """The rows [first, last) of this window; it cannot be made longer."""
        count = len(self)
        first = min(max(0, first), count)
        return CandleWindow(self._pane, self._first + first, self._first + min(max(first, last), count))

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame (copied) with a UTC DatetimeIndex `timestamp` and the five columns; needs pandas."""
        import pandas as pd

        index = pd.DatetimeIndex(pd.to_datetime(self.time, unit="ms", utc=True), name="timestamp")
        return pd.DataFrame({name: self[name].copy() for name in COLUMNS}, index=index)

    def to_polars(self) -> polars.DataFrame:
        """A DataFrame (copied) with `timestamp` (UTC) and the five columns; needs polars."""
        import polars as pl

        times = pl.Series("timestamp", self.time).cast(pl.Datetime("ms", "UTC"))
        return pl.DataFrame([times, *(pl.Series(name, self[name].copy()) for name in COLUMNS)])


class Pane:
    """All candles of one symbol and interval that a run has loaded, and the screens through which user code sees them.

    `rows` is how many rows may be cut without a further look; none, where some are missing.
    """

    __slots__ = ("closes", "gappy", "interval", "rows", "screens", "source", "start", "step", "stop")

    def __init__(self, candles: Candles) -> None:
        self.source, self.interval, self.start, self.step = (
            candles,
            candles.interval,
            candles.start,
            int(candles.interval),
        )
        self.stop = candles.stop
        self.gappy = bool(np.isnan(candles.close).any())
        self.rows = 0 if self.gappy else len(candles)
        self.closes = Screen(candles.close)
        self.screens = {"close": self.closes}

    def has_gap(self, first: int, stop: int) -> bool:
        return bool(np.isnan(self.source.close[first:stop]).any())

    def screen(self, name: str) -> Screen:
        """The screen of a column, made when it is first looked at."""
        screen = self.screens[name] = Screen(getattr(self.source, name))
        return screen


class IndicatorColumns(Mapping[str, Floats]):
    """The columns of a strategy's `indicators=` hook, of which only the rows up to now can be seen.

    `context.indicators["fast"][-1]` is the value that belongs to the newest closed candle.
    """

    __slots__ = ("_clock", "_screens", "_start", "_step")

    def __init__(self, columns: Mapping[str, NDArray[Any]], start: Time, step: int) -> None:
        self._screens = {name: Screen(column) for name, column in columns.items()}
        self._start, self._step = start, step
        self._clock: Any = None

    def follow(self, clock: Any) -> None:
        """From here on "now" is `clock.when`."""
        self._clock = clock

    def __getitem__(self, name: str) -> Floats:
        if name not in self._screens:
            known = ", ".join(self._screens) or "none"
            raise KeyError(f"no indicator column {name!r}; the hook returned: {known}")
        return self._screens[name].rows(0, max(0, (self._clock.when - self._start) // self._step))

    def __iter__(self) -> Any:
        return iter(self._screens)

    def __len__(self) -> int:
        return len(self._screens)


def indicator_columns(hook: Any, candles: Candles, where: str) -> IndicatorColumns:
    """Calls an `indicators=` hook on whole candle columns and takes its named columns, each as long as the candles.

    The hook is also run on shorter pieces of the same candles: a column whose earlier rows change when later candles
    are taken away has looked ahead, and raises LookAheadError.
    """
    columns = _columns_of(hook, candles, where)
    n = len(candles)
    for cut in sorted({n // 4, n // 2, 3 * n // 4, n - 1} - {0, n, -1}):
        shorter = _columns_of(hook, candles.rows(0, cut), where)
        for name, column in columns.items():
            tail = slice(max(0, cut - 50), cut)
            if name not in shorter or not np.allclose(
                shorter[name][tail], column[tail], rtol=1e-9, atol=1e-12, equal_nan=True
            ):
                raise LookAheadError(
                    f"{where}: indicator column {name!r} changes its earlier rows when later candles are taken away "
                    f"(checked at row {cut} of {n}): it looks ahead, and would not have these values live"
                )
    return IndicatorColumns(columns, candles.start, int(candles.interval))


def _columns_of(hook: Any, candles: Candles, where: str) -> dict[str, NDArray[Any]]:
    try:
        answer = hook(whole_window(candles))
    except Exception as error:
        raise StrategyError(f"{where}: indicators= raised {type(error).__name__}: {error}") from error
    if not hasattr(answer, "keys"):
        raise ConfigError(f"{where}: indicators= returns named columns (a mapping), not {type(answer).__name__}")
    columns = {str(name): _numbers(answer[name], str(name), where) for name in list(answer.keys())}
    for name, column in columns.items():
        if column.shape != (len(candles),):
            raise ConfigError(
                f"{where}: indicator column {name!r} has shape {column.shape}, expected ({len(candles)},)"
            )
    return columns


def _numbers(column: Any, name: str, where: str) -> NDArray[np.float64]:
    try:
        return np.ascontiguousarray(column, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: indicator column {name!r} does not hold numbers: {error}") from error


def whole_window(candles: Candles) -> CandleWindow:
    """Candles that all have closed already, as user code gets them."""
    return CandleWindow(Pane(candles), 0, len(candles))
