"""What is rendered for the shop, once for all judges of it."""

from pathlib import Path

import pytest

from holdfast.delivery import write
from holdfast.delivery.images import LOCK, UNRESOLVED
from holdfast.delivery.parts import render, rendering_of
from shop.system import shop

FIRST = f"sha256:{'1' * 64}"


@pytest.fixture(scope="session")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is rendered for the shop, once CI has resolved the digests of its images."""
    folder = tmp_path_factory.mktemp("shop") / "deploy"
    folder.mkdir()
    write(render(rendering_of(shop, folder, typed="shop")), folder)
    lock = folder / LOCK
    assert UNRESOLVED in lock.read_text()
    lock.write_text(lock.read_text().replace(f'"{UNRESOLVED}"', f'"{FIRST}"'))
    write(render(rendering_of(shop, folder, typed="shop")), folder)
    return folder
