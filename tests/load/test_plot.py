"""The picture: that it is written, and what is said where it cannot be."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from holdfast.contract.tier import Tier
from holdfast.errors import SettingError
from holdfast.load import plot
from holdfast.load.result import CapacityRound, LevelResult, LoadReport, level_result
from holdfast.load.tally import LoadTally


def level(per_s: float, tiers: tuple[Tier, ...]) -> LevelResult:
    """Return a level at which some tiers had requests; the last one's were refused."""
    found = LoadTally()
    for tier in tiers:
        found.tiers[tier].offered += 1
        found.tiers[tier].answered(200 if tier != tiers[-1] else 503, good=True, took_s=0.01)
    found.lags_s.append(0.0)
    return level_result(f"{per_s:g}", per_s, 1.0, found, capacity_per_s=10, settled_s=None)


@pytest.mark.parametrize("tiers", [(Tier.NORMAL,), (Tier.CRITICAL, Tier.BULK)])
def test_a_picture_is_written_in_both_forms(tmp_path: Path, tiers: tuple[Tier, ...]) -> None:
    """A PNG and an SVG with something in them, with gaps where a level has no figure."""
    levels = (level(20.0, tiers), level(5.0, (Tier.CRITICAL,)))
    rounds = (CapacityRound(32, 10, 0, 1.0, 0.0, is_steady=True),)

    paths = plot.draw(LoadReport("till", "http://a", 2.0, 10, 10.0, rounds, levels), tmp_path)

    png, svg = paths
    assert png.read_bytes().startswith(b"\x89PNG") and len(png.read_bytes()) > 10_000
    assert ElementTree.fromstring(svg.read_bytes()).tag.endswith("svg")


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is measured."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(SettingError, match=r"pip install 'holdfast\[plot\]'; --json does not"):
        plot.check()
