"""Validators are imported where they are asked for alone: `make test` does without them."""

import re
from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pass over files that are marked `deploy` as a whole, unless the run is of those."""
    if collection_path.suffix != ".py" or "deploy" in re.split(
        r"not deploy|\W+", config.getoption("markexpr")
    ):
        return None
    marked = re.search(r"^pytestmark = .*\bdeploy\b", collection_path.read_text(), re.MULTILINE)
    return True if marked else None
