"""The catalogue of metrics is complete, used, and follows the conventions."""

import re
from pathlib import Path

import pytest

import holdfast
from holdfast.observability import catalogue
from holdfast.observability.catalogue import CATALOGUE, LABELS, Metric

SOURCE = Path(holdfast.__file__).parent


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=CATALOGUE)
def test_names_tell_type_and_unit(metric: Metric) -> None:
    """As Prometheus's conventions have it."""
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    without_total = metric.name.removesuffix("_total")
    assert without_total.endswith("_seconds") == (metric.unit == "s")
    assert without_total.endswith("_bytes") == (metric.unit == "By")
    assert bool(metric.bounds) == (metric.kind == "histogram")
    assert list(metric.bounds) == sorted(metric.bounds)
    assert re.fullmatch(r"\S.*\.", metric.help)


def test_every_label_means_one_thing() -> None:
    """Every label of a metric is explained, and no other word."""
    assert set(LABELS) == {label for metric in CATALOGUE.values() for label in metric.labels}


def test_every_metric_is_shown_by_something() -> None:
    """What is left in the catalogue when its last use goes would be promised to readers."""
    code = "".join(file.read_text() for file in SOURCE.rglob("*.py") if file.name != "catalogue.py")

    unused = [
        metric.name
        for name, metric in vars(catalogue).items()
        if isinstance(metric, Metric) and not re.search(rf"\bcatalogue\.{name}\b", code)
    ]
    assert unused == []
