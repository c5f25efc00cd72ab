"""PromQL: expressions over the series of the catalogue, and of no others."""

import functools
import re
from collections.abc import Collection, Iterator
from typing import Final

from holdfast.observability import catalogue
from holdfast.observability.catalogue import Metric

TARGET_LABELS: Final = frozenset(("job", "instance", "le"))
"""What Prometheus adds to every series, and to the buckets of a histogram."""
SCRAPED: Final = frozenset(("up",))
"""Series that Prometheus makes itself of every target."""
SUFFIXES: Final = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
RECORDED: Final = "holdfast_slo:"
"""How the names of recorded series begin."""

_WORDS: Final = frozenset(
    (
        *("and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right"),
        *("offset", "bool", "inf", "nan"),
    )
)


def equal(label: str, value: str) -> str:
    """Return a matcher of one value."""
    return f'{label}="{_quoted(value)}"'


def unequal(label: str, value: str) -> str:
    """Return a matcher of every other value."""
    return f'{label}!="{_quoted(value)}"'


def one_of(label: str, values: Collection[str]) -> str:
    """Return a matcher of any of these texts."""
    if len(values) == 1:
        return equal(label, next(iter(values)))
    pattern = "|".join(re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value) for value in values)
    return f'{label}=~"{_quoted(pattern)}"'


def like(label: str, pattern: str, *, otherwise: bool = False) -> str:
    """Return a matcher of a regular expression; `otherwise`: of what it does not match."""
    return f'{label}{"!~" if otherwise else "=~"}"{_quoted(pattern)}"'


def series(metric: Metric, *matchers: str, suffix: str = "") -> str:
    """Return a selector of series of the catalogue.

    Raises:
        ValueError: the metric has no such label, or its kind no such series.
    """
    if suffix not in SUFFIXES[metric.kind]:
        raise ValueError(f"{metric.name} is a {metric.kind} and has no {suffix or 'value'}")
    for matcher in matchers:
        label = re.split("[=!]", matcher, maxsplit=1)[0]
        if label not in {*metric.labels, *TARGET_LABELS}:
            raise ValueError(f"{metric.name} has no label {label!r}, it has {metric.labels}")
    return f"{metric.name}{suffix}{{{','.join(matchers)}}}"


@functools.cache
def known_names() -> frozenset[str]:
    """Return the name of every series that a system shows, or that is made of its targets."""
    shown = {
        f"{metric.name}{suffix}"
        for metric in catalogue.CATALOGUE.values()
        for suffix in SUFFIXES[metric.kind]
    }
    return SCRAPED | shown


def checked(expression: str, recorded: Collection[str] = ()) -> str:
    """Return an expression all of whose series exist.

    A rule or a panel about a series that nobody makes is silent for ever, and no tool says so.

    Raises:
        ValueError: it names a series that is neither in the catalogue nor recorded.
    """
    unknown = {*names_in(expression)} - known_names()
    unknown -= {*recorded}
    if unknown:
        raise ValueError(f"no series is called {', '.join(sorted(unknown))}: {expression}")
    return expression


def names_in(expression: str) -> Iterator[str]:
    """Yield the names of series in an expression."""
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    for found in re.finditer(r"(?<![\w.:$])([A-Za-z_:][\w:]*)\s*(\()?", text):
        name, call = found.groups()
        if call is None and name.lower() not in _WORDS:
            yield name


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
