"""Rates as they are typed."""

import pytest

from holdfast.errors import Invalid
from holdfast.load.pace import USUAL, paces


def test_rates_are_multiples_or_numbers() -> None:
    """`x` is the capacity; several stand with commas."""
    found = paces("0.8x, 300,2x")

    assert [str(pace) for pace in found] == ["0.8x", "300", "2x"]
    assert [pace.per_s(1_000) for pace in found] == [800, 300, 2_000]
    assert [str(pace) for pace in paces(USUAL)] == USUAL.split(",")


@pytest.mark.parametrize("text", ["", "x", "fast", "1x,", "-1", "0", "nan", "inf", "1xx", "1 2"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """With an example of each kind."""
    with pytest.raises(Invalid, match="is no rate; write 300 for 300 requests a second, 2x for"):
        paces(text)
