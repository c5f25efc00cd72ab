"""An expression names series that exist, with labels that they have."""

import pytest

from holdfast.delivery.promql import checked, equal, names_in, one_of, series
from holdfast.observability import catalogue


def test_the_names_of_an_expression_are_found() -> None:
    """Not its functions, words, labels, durations, texts, numbers or Grafana's variables."""
    expression = (
        'sum by (up, job) (rate(one_total{a="two",b=~"x{3}"}[5m])) / on (slo) group_left (c) '
        "(level:four:rate5m offset 1d > bool 14.4e3)\nunless absent(five) or vector(1) > inf "
        "and histogram_quantile(0.9, six[$__rate_interval])"
    )

    assert list(names_in(expression)) == ["one_total", "level:four:rate5m", "five", "six"]


@pytest.mark.parametrize(
    "expression",
    ["holdfast_dead_leters > 0", "http_server_request_duration_seconds > 1", "recorded:two > 1"],
)
def test_a_series_that_nobody_makes_is_refused(expression: str) -> None:
    """No tool of Prometheus has a word against it, and it is silent for ever."""
    assert checked("holdfast_dead_letters / recorded:one > up", ["recorded:one"])
    with pytest.raises(ValueError, match="no series is called"):
        checked(expression, ["recorded:one"])


def test_a_selector_is_of_the_catalogue() -> None:
    """Its labels and suffixes too."""
    served = catalogue.SERVED
    assert series(served, equal("job", 'a"b\\'), equal("le", "0.3"), suffix="_bucket") == (
        r'http_server_request_duration_seconds_bucket{job="a\"b\\",le="0.3"}'
    )
    with pytest.raises(ValueError, match="has no label 'route'"):
        series(served, equal("route", "/"), suffix="_count")
    with pytest.raises(ValueError, match="histogram and has no value"):
        series(served)


def test_texts_are_not_taken_for_patterns() -> None:
    """A path has braces and dots."""
    assert one_of("http_route", ["/a.b", "/c/{id}"]) == r'http_route=~"/a\\.b|/c/\\{id\\}"'
    assert one_of("http_route", ["/c/{id}"]) == 'http_route="/c/{id}"'
