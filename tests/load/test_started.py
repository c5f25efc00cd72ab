"""A system that is started for its load: on which cores, and what it would reach."""

import pytest

from holdfast.load.started import reached_for_real, shared_out
from shop.system import shop
from tests.cli.tiny import tiny


def test_the_generator_has_a_core_of_its_own() -> None:
    """Where there are several; one alone is everybody's."""
    assert shared_out(frozenset(range(4))) == ({0, 1, 2}, {3})
    assert shared_out(frozenset([1, 5])) == ({1}, {5})
    assert shared_out(frozenset([2])) == ({2}, {2})
    assert shared_out(frozenset()) == (frozenset(), frozenset())


def test_a_third_party_has_a_stand_in_or_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop's has one; that of the other system must be named."""
    assert reached_for_real(shop) == []
    [line] = reached_for_real(tiny)
    assert "let `local=` of the External start a stand-in, or set FAX_URL" in line

    monkeypatch.setenv("FAX_URL", "http://127.0.0.1:1")

    assert reached_for_real(tiny) == []
