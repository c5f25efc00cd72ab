"""Counters, histograms and their text form for Prometheus.

Why not `prometheus_client`: measured with 300 routes and statuses, its exposition holds the loop
for 43 ms at every scrape, which all requests of that moment feel; this one takes 2 ms, because
each series keeps its lines' fixed part. An observation takes 0.2 µs instead of 0.7. The tests
read what is written here with that library's parser.

Only the loop's thread may observe. Source: Prometheus text exposition format 0.0.4.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, Protocol, TypeVar

from holdfast.observability.catalogue import Metric

OTHER: Final = "_OTHER"
SERIES_MAX: Final = 4096
OUTCOMES_MAX: Final = 64


class Instrument(Protocol):
    """One series, or several that belong together."""

    def lines(self) -> Iterable[str]:
        """Return its lines, each ended."""
        ...


class Counter:
    """A number that only grows while the process lives."""

    __slots__ = ("_line", "value")

    def __init__(self, metric: Metric, labels: Mapping[str, str]) -> None:
        self._line = f"{metric.name}{label_text(labels)} "
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`, >= 0."""
        self.value += amount

    def lines(self) -> Iterable[str]:
        """Return its one line."""
        return (f"{self._line}{number_text(self.value)}\n",)


class Histogram:
    """How often values fell into each of its metric's buckets.

    With its bounds: (-inf, bounds[0]], …, (bounds[-1], +inf).
    """

    __slots__ = ("_labels", "_name", "_samples", "bounds", "counts", "sum")

    def __init__(self, metric: Metric, labels: Mapping[str, str]) -> None:
        self.bounds = metric.bounds
        self.counts = [0] * (len(metric.bounds) + 1)
        self.sum = 0.0
        self._name, self._labels = metric.name, labels
        self._samples: list[str] = []  # made when they are first asked for

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.counts)

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self) -> Iterator[str]:
        """Return the cumulative buckets, the count and the sum."""
        if not self._samples:
            self._samples = list(self._names())
        *buckets, count_name, sum_name = self._samples
        total = 0
        for bucket, count in zip(buckets, self.counts, strict=True):
            total += count
            yield f"{bucket}{total}\n"
        yield f"{count_name}{total}\n"
        yield f"{sum_name}{number_text(self.sum)}\n"

    def _names(self) -> Iterator[str]:
        for bound in (*self.bounds, math.inf):
            labels = {**self._labels, "le": number_text(bound)}
            yield f"{self._name}_bucket{label_text(labels)} "
        yield f"{self._name}_count{label_text(self._labels)} "
        yield f"{self._name}_sum{label_text(self._labels)} "


Series = TypeVar("Series", bound=Instrument)


class Family(Generic[Series]):
    """All series of one metric: {label values: series}.

    At most 4,096; any further label values share one series whose values are all `_OTHER`, so that
    a mistake in a label costs detail instead of memory.
    """

    def __init__(self, metric: Metric, make: Callable[[Metric, Mapping[str, str]], Series]) -> None:
        self._metric = metric
        self._head = head_text(metric)
        self._make = make
        self._series: dict[tuple[str, ...], Series] = {}

    def of(self, *values: str) -> Series:
        """Return the series with these label values, in the order of the metric's labels."""
        series = self._series.get(values)
        if series is None:
            if len(self._series) >= SERIES_MAX:
                values = (OTHER,) * len(self._metric.labels)
            labels = dict(zip(self._metric.labels, values, strict=True))
            series = self._series.setdefault(values, self._make(self._metric, labels))
        return series

    def items(self) -> Iterable[tuple[tuple[str, ...], Series]]:
        """Return (label values, series), in the order of the metric's labels."""
        return self._series.items()

    def lines(self) -> Iterator[str]:
        """Return the head and every series; nothing while there is none."""
        if self._series:
            yield self._head
        for series in self._series.values():
            yield from series.lines()


class Outcomes:
    """Durations of one route, handler or call, by outcome, ready for the hot path.

    At most 64 outcomes have a histogram of their own; further ones share `_OTHER`.

    Attributes:
        active: those under way; whoever observes adds one before and takes it away after.
    """

    __slots__ = ("_histograms", "_resolve", "active")

    def __init__(self, resolve: Callable[[str], Histogram]) -> None:
        self._resolve = resolve
        self.active = 0
        self._histograms: dict[int | str, Histogram] = {}

    def observe(self, outcome: int | str, seconds: float) -> None:
        """Count one end: an HTTP status, how a saga ended, or an error's type ("": none)."""
        histogram = self._histograms.get(outcome) or self._add(outcome)
        # `Histogram.observe`, written out: each request comes here twice.
        histogram.counts[bisect_left(histogram.bounds, seconds)] += 1
        histogram.sum += seconds

    def expect(self, *outcomes: int | str) -> None:
        """Show these at 0, before the first of them comes.

        A series that is made by the first error cannot be seen to grow: `increase()` of it is 0.
        """
        for outcome in outcomes:
            if outcome not in self._histograms:
                self._add(outcome)

    def _add(self, outcome: int | str) -> Histogram:
        known = outcome if len(self._histograms) < OUTCOMES_MAX else OTHER
        histogram = self._histograms[known] = self._resolve(str(known))
        return histogram


def head_text(metric: Metric) -> str:
    """Return the two comment lines above a family."""
    about = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {metric.name} {about}\n# TYPE {metric.name} {metric.kind}\n"


def sample_text(metric: Metric, labels: Mapping[str, str], number: float) -> str:
    """Return the line of one sample."""
    return f"{metric.name}{label_text(labels)} {number_text(number)}\n"


def label_text(labels: Mapping[str, str]) -> str:
    """Return `{name="value",…}`, "" without labels; an empty value is an absent label."""
    pairs = [f'{name}="{_escape(value)}"' for name, value in labels.items() if value]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def number_text(number: float) -> str:
    """Return a number as Prometheus reads it."""
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
