"""The exposition of metrics: Prometheus text, or OpenMetrics with exemplars if the scraper asks.

In OpenMetrics a broken exemplar makes Prometheus refuse the whole target, so that only ids which
Holdfast has made or checked get into one. `_created` lines are left out: they double the series.

Source: Prometheus text format 0.0.4; OpenMetrics 1.0.0.
"""

import math
import re
from collections.abc import Mapping
from enum import Enum
from typing import Final

from holdfast.observability.catalogue import Metric
from holdfast.observability.trace import Context

_IDS = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}")
_OPEN: Final = "application/openmetrics-text"
_VERSIONS: Final = ("", "0.0.1", "1.0.0")  # a scraper of the draft reads this version, too
_UNITS: Final = {"s": "seconds", "By": "bytes"}


class Exposition(Enum):
    """A format of metrics; the value is its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    @property
    def end(self) -> str:
        """What stands behind the last line."""
        return "# EOF\n" if self is Exposition.OPEN else ""


def exposition_of(accept: str) -> Exposition:
    """Return the format that a scraper asks for in its Accept header.

    OpenMetrics if it is named, in a version that is written here, and text is not liked better.
    """
    liked = {_OPEN: 0.0, "text/plain": 0.0}
    for asked in accept.lower().split(","):
        name, _, rest = asked.partition(";")
        parameters = dict(_parameter(one) for one in rest.split(";"))
        if name.strip() == _OPEN and parameters.get("version", "") not in _VERSIONS:
            continue
        if name.strip() in liked:
            liked[name.strip()] = max(liked[name.strip()], _share(parameters.get("q", "1")))
    is_open = liked[_OPEN] > 0 and liked[_OPEN] >= liked["text/plain"]
    return Exposition.OPEN if is_open else Exposition.TEXT


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _share(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.[0-9]{0,3})?", text) else 0.0


def head_text(metric: Metric, form: Exposition) -> str:
    """Return the comment lines above a family."""
    about = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    name, kind = metric.name, str(metric.kind)
    if form is Exposition.TEXT:
        return f"# HELP {name} {about}\n# TYPE {name} {kind}\n"
    if name.endswith("_info"):
        name, kind = name.removesuffix("_info"), "info"
    elif metric.kind == "counter":
        name = name.removesuffix("_total")
    unit = _UNITS.get(metric.unit)
    units = f"# UNIT {name} {unit}\n" if unit and name.endswith(f"_{unit}") else ""
    about = about.replace('"', r"\"")
    return f"# TYPE {name} {kind}\n{units}# HELP {name} {about}\n"


def sample_text(metric: Metric, labels: Mapping[str, str], number: float) -> str:
    """Return the line of one sample."""
    return f"{metric.name}{label_text(labels)} {number_text(number)}\n"


def exemplar_text(context: Context, number: float) -> str:
    """Return what follows a sample in OpenMetrics: a trace in which its value was observed."""
    if not _IDS.fullmatch(f"{context.trace_id}-{context.span_id}"):
        return ""
    ids = f'trace_id="{context.trace_id}",span_id="{context.span_id}"'
    return f" # {{{ids}}} {number_text(number)}"


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
