"""The fence: what a seed does not decide is refused, and its culprit named."""

import os
import random
import secrets
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.dispatch.outside import Blocking
from holdfast.errors import NotSimulated
from holdfast.simulation.fence import Fence


@pytest.mark.parametrize(
    ("escape", "told"),
    [
        (lambda: os.urandom(8), r"entropy \(os.urandom\); use `tx.new_id` or `outside.run`"),
        (uuid.uuid4, "entropy"),
        (lambda: secrets.token_hex(4), "entropy"),
        (lambda: random.random(), "chance"),
        (lambda: random.choice([1]), "chance"),
        (lambda: time.time(), r"the real clock \(time.time\); use `tx.now`"),
        (lambda: time.monotonic(), "the real clock"),
        (lambda: time.sleep(1), r"the real clock \(time.sleep\); use `asyncio.sleep`"),
        (lambda: threading.Thread(target=print).start(), "a thread"),
        (lambda: socket.socket(), "a socket"),
        (lambda: subprocess.run(["true"], check=False), "a subprocess"),
    ],
)
def test_it_refuses(escape: Callable[[], Any], told: str) -> None:
    """Where it was asked for is said, and what to use instead."""
    with (
        Fence(random.Random(1), lambda: 5.0).up(),
        pytest.raises(NotSimulated, match=rf"test_fence\.py:\d+ in .* asks for {told}"),
    ):
        escape()
    assert 0 <= random.random() < 1, "it is down again"


def test_what_is_run_outside_is_the_seeds() -> None:
    """Entropy and time inside `outside.run` are those of the simulation."""

    def outside() -> tuple[bytes, float]:
        return os.urandom(8), time.monotonic()

    def once(seed: int) -> tuple[bytes, float]:
        fence = Fence(random.Random(seed), lambda: 5.0)
        with fence.up():
            running = fence.run(Blocking(outside, "tiny"))
            try:
                running.send(None)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # a StopIteration's is untyped
        raise AssertionError("it waits for nobody")

    assert once(1) == once(1) != once(2)
    assert once(1)[1] == 5.0
