"""Panels: dashboards of Grafana as typed values, and as the JSON that it imports."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.delivery.files import MARK
from holdfast.delivery.objective_rules import recorded_names
from holdfast.delivery.promql import checked
from holdfast.delivery.yaml import Value

SCHEMA: Final = 41
"""The version of the shape below: Grafana 11.6 and newer read it."""
_UID_CHARS = 40
_COLUMNS, _WIDTH, _HEIGHT = 2, 12, 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Curve:
    """One expression of a panel, and how its series are called: `{{service}}`.

    Raises:
        ValueError: it names a series that nobody makes.
    """

    expr: str
    legend: str

    def __post_init__(self) -> None:
        checked(self.expr, recorded_names())


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture over time, or with `now` one of this moment.

    Attributes:
        unit: as Grafana names it: `s`, `reqps`, `percentunit`, `short`.
    """

    title: str
    unit: str
    lines: Sequence[Curve]
    about: str = ""
    now: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Panels, in rows of two.

    Attributes:
        key: what it is about, `shop` or `shop service orders`: its uid is made of it, and stays.
    """

    key: str
    title: str
    panels: Sequence[Panel]

    @property
    def uid(self) -> str:
        """Its name in addresses, at most 40 characters."""
        uid = "_".join(("holdfast", *self.key.split()))  # no name has an underscore
        if len(uid) > _UID_CHARS:
            uid = f"holdfast-{hashlib.sha256(self.key.encode()).hexdigest()[:20]}"
        return uid

    def model(self, system: str) -> dict[str, Value]:
        """Return it as Grafana imports it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": f"{MARK}{system} --only observability`.",
            "tags": ["holdfast", system],
            "schemaVersion": SCHEMA,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "utc",
            "templating": {
                "list": [
                    {
                        "name": "datasource",
                        "label": "Prometheus",
                        "type": "datasource",
                        "query": "prometheus",
                        "hide": 0,
                    }
                ]
            },
            "panels": [_panel(number, panel) for number, panel in enumerate(self.panels)],
        }


def _panel(number: int, panel: Panel) -> Value:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": "bargauge" if panel.now else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {} if panel.now else {"tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": line.expr,
                "legendFormat": line.legend,
                **({"instant": True} if panel.now else {}),
            }
            for place, line in enumerate(panel.lines)
        ],
    }
