"""Measures: the counters and histograms that a service declares for itself.

A declaration holds no numbers. They are the process's that runs the service; where it does not run,
as in a test of one function, nothing is counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, cast

from holdfast.system.parameters import Tx

Record = Callable[[tuple[str, ...], float], None]
"""Counts a number under label values, in the order of the labels; may be called by any thread."""

DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds: OpenTelemetry's advice for what somebody waits for."""


class _Kept(Protocol):
    """What every `Tx` of Holdfast's can do, and handlers need not."""

    def when_committed(self, tell: Callable[[], None]) -> None: ...


@dataclass(slots=True, eq=False)
class Measure:
    """What counters and histograms have in common.

    Attributes:
        help: one sentence; Prometheus shows it.
        labels: names of its labels; a `service` label comes with it.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    _record: Record | None = field(default=None, init=False, repr=False)

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds of a histogram's buckets; a counter has none."""
        return ()

    def bind(self, record: Record | None) -> None:
        """Have it counted by the process that runs the service, or by none any more."""
        self._record = record

    def is_bound(self, record: Record) -> bool:
        """Whether it is counted there, and not by a process that came later."""
        return self._record is record

    def _count(self, number: float, tx: Tx | None, labels: dict[str, str]) -> None:
        if labels.keys() != set(self.labels):
            raise TypeError(f"{self.name} has the labels {self.labels}, not {(*labels,)}")
        if not 0 <= number < float("inf"):
            raise ValueError(f"{self.name} counts what is not negative, not {number}")
        tell = partial(self._tell, tuple(str(labels[name]) for name in self.labels), number)
        if tx is None:
            tell()
        else:
            cast(_Kept, tx).when_committed(tell)

    def _tell(self, values: tuple[str, ...], number: float) -> None:
        if self._record is not None:
            self._record(values, number)


@dataclass(slots=True, eq=False)
class ServiceCounter(Measure):
    """A counter of a service's own, made by `Service.counter()`."""

    def inc(self, amount: float = 1, /, *, tx: Tx | None = None, **labels: str) -> None:
        """Add to it.

        Args:
            tx: count once this transaction is committed, and not at all if it never is: a handler
                that is run again counts once. Without it each run counts at once, also one that
                fails.
            labels: a value for each of its labels. Their number is to be small: beyond 4,096
                combinations they are counted as `_OTHER`.
        Raises:
            TypeError: these are not its labels.
            ValueError: the amount is negative, or no number.
        """
        self._count(amount, tx, labels)


@dataclass(slots=True, eq=False)
class ServiceHistogram(Measure):
    """A histogram of a service's own, made by `Service.histogram()`."""

    buckets: tuple[float, ...] = DURATIONS

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds of its buckets."""
        return self.buckets

    def observe(self, value: float, /, *, tx: Tx | None = None, **labels: str) -> None:
        """Count a value, 0 or more; the rest as for `ServiceCounter.inc`."""
        self._count(value, tx, labels)
