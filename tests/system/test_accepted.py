"""A right declaration passes, however it is written: no false alarms."""

from pathlib import Path

import pytest

from tests.system.loading import HERE, system_of

ACCEPTED = sorted((HERE / "accepted").glob("*.py"))


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.stem)
def test_a_right_declaration_passes(path: Path) -> None:
    """None of the ways to write a system is taken for a mistake."""
    system_of(path).check()
