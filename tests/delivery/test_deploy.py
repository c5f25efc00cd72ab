"""What is committed of the shop's delivery is what its declaration says."""

from pathlib import Path

from holdfast.delivery import differences, strangers
from holdfast.delivery.parts import render, rendering_of
from shop.system import shop

ROOT = Path(__file__).parents[2]


def test_what_is_committed_is_what_is_declared() -> None:
    """`holdfast render shop --to deploy` writes it anew."""
    folder = ROOT / "deploy"
    files = render(rendering_of(shop, folder, typed="shop"))

    assert differences(files, folder) == []
    assert strangers(files, folder) == []
