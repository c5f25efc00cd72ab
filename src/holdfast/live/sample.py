"""The numbers of one process at one moment, read from its metrics."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_LINE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_LETTERS = {"n": "\n"}

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process says: {name: [(labels, number)]}."""

    numbers: Mapping[str, list[tuple[Labels, float]]] = field(
        default_factory=dict[str, list[tuple[Labels, float]]]
    )

    def of(self, name: str, **labels: str) -> Iterable[tuple[Labels, float]]:
        """Yield the numbers of a metric whose labels have these values."""
        for having, number in self.numbers.get(name, ()):
            if all(having.get(label) == value for label, value in labels.items()):
                yield having, number

    def total(self, name: str, **labels: str) -> float:
        """Return their sum."""
        return sum(number for _, number in self.of(name, **labels))


def read_sample(text: str) -> Sample:
    """Read an exposition in Prometheus' text format; what is not a number is left out."""
    found: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
    for line in text.splitlines():
        read = None if line.startswith("#") else _LINE.fullmatch(line)
        if read is None:
            continue
        name, labels, number = read.groups()
        value = float(number)
        if not math.isnan(value):
            pairs = _LABEL.findall(labels or "")
            found[name].append(({label: _unescaped(text) for label, text in pairs}, value))
    return Sample(dict(found))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _LETTERS.get(found[1], found[1]), text)


@dataclass(slots=True)
class Runs:
    """What happened in a time: how often, how often badly, and how long it took.

    Attributes:
        buckets: {upper bound: how many took at most so long}.
    """

    count: float = 0.0
    bad: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict[float, float])

    def add(self, sample: Sample, name: str, sign: int, **labels: str) -> None:
        """Add the series of a histogram, or with a `sign` of -1 take an earlier look away."""
        for having, number in sample.of(f"{name}_count", **labels):
            self.count += sign * number
            self.bad += sign * number * is_bad(having)
        for having, number in sample.of(f"{name}_bucket", **labels):
            bound = float(having["le"])
            self.buckets[bound] = self.buckets.get(bound, 0.0) + sign * number

    def quantile_s(self, share: float) -> float | None:
        """Return the bound that a share of them did not exceed; None without any."""
        for bound in sorted(self.buckets):
            if self.count > 0 and self.buckets[bound] >= share * self.count:
                return bound
        return None

    def within(self, seconds: float) -> float:
        """Return how many took at most so long; a threshold of an SLO is a bound."""
        bounds = [bound for bound in self.buckets if bound <= seconds]
        return self.buckets[max(bounds)] if bounds else 0.0


def is_bad(labels: Labels) -> bool:
    """Whether a series counts what went wrong: with an error, or a status of 500 or more."""
    status = labels.get("http_response_status_code", "")
    return bool(labels.get("error_type")) or status.startswith("5")
