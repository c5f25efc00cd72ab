"""Metrics that services declare for themselves, as a process counts them."""

import threading
from collections.abc import Mapping
from typing import Final

from holdfast.observability.catalogue import Metric
from holdfast.observability.instruments import Counter, Family, Histogram
from holdfast.system.measures import Measure, Record, ServiceCounter

VALUE_CHARS_MAX: Final = 200  # of a label's value; what is longer is cut
_UNITS: Final = {"seconds": "s", "bytes": "By"}


class MeasureFamily:
    """The series of one declared name, of all services that have it.

    Unlike Holdfast's own it may be counted by any thread: functions in `outside.run` count, too.
    """

    def __init__(self, measure: Measure) -> None:
        unit = _UNITS.get(measure.name.removesuffix("_total").rpartition("_")[2], "")
        labels = (*measure.labels, "service")
        self._lock = threading.Lock()
        self._plain = not measure.labels
        self.family: Family[Counter] | Family[Histogram]
        if isinstance(measure, ServiceCounter):
            counter = Metric(measure.name, "counter", unit, measure.help, labels)
            self.family = Family(counter, Counter)
        else:
            histogram = Metric(
                measure.name, "histogram", unit, measure.help, labels, measure.bounds
            )
            self.family = Family(histogram, Histogram)
        self._labels = labels

    def record_of(self, service: str) -> Record:
        """Return what counts for a service; without labels its series is there at 0."""
        family, lock = self.family, self._lock

        def record(values: tuple[str, ...], number: float) -> None:
            with lock:
                series = family.of(*(value[:VALUE_CHARS_MAX] for value in values), service)
                if isinstance(series, Counter):
                    series.inc(number)
                else:
                    series.observe(number)

        if self._plain:
            family.of(service)
        return record

    def total(self, labels: Mapping[str, str]) -> float:
        """Return the sum over the series that have these labels: of counts, or of how many."""
        found = 0.0
        for values, series in self.family.items():
            if labels.items() <= dict(zip(self._labels, values, strict=True)).items():
                found += series.value if isinstance(series, Counter) else series.count
        return found
