"""A seed replays exactly, whatever the process that runs it."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.sim

SEEDS = 100


def test_a_seed_has_one_history_in_every_process() -> None:
    """Fresh processes whose hashes differ come to the same digests."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.digests", "0", str(SEEDS)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("1", "4711")
    ]
    first, second = (run.communicate()[0].splitlines() for run in runs)

    assert len(first) == SEEDS
    assert [a for a, b in zip(first, second, strict=True) if a != b] == []
    assert len({line.split()[1] for line in first}) == SEEDS


def test_a_seed_is_the_same_after_others() -> None:
    """What a process keeps for its next worlds is not told apart from what it makes anew."""
    alone, after = (
        subprocess.check_output(
            [sys.executable, "-m", "tests.simulation.digests", str(first), "51"], text=True
        )
        for first in (50, 0)
    )

    assert alone.splitlines() == after.splitlines()[50:]
