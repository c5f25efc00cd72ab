"""The gate of a simulated database server: one transaction at a time, in the order of asking.

It stands for the serial order that SERIALIZABLE promises; that transactions would have run side by
side is simulated by conflicts.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from holdfast.simulation.node import Node


class Owner(Protocol):
    """Who has a turn."""

    def crashed(self, node: Node) -> None:
        """Give the turn back if it was this node's, which is dead."""
        ...


@dataclass(frozen=True, slots=True)
class _Wait:
    """Somebody who waits for a turn."""

    node: Node | None
    owner: Owner
    turn: "asyncio.Future[None]"


class Gate:
    """Lets one in."""

    def __init__(self) -> None:
        self._owner: Owner | None = None
        self._queue: deque[_Wait] = deque()

    async def enter(self, node: Node | None, owner: Owner) -> None:
        """Wait for one's turn."""
        if self._owner is None and not self._queue:
            self._owner = owner
            return
        wait = _Wait(node, owner, asyncio.get_running_loop().create_future())
        self._queue.append(wait)
        try:
            await wait.turn
        except asyncio.CancelledError:
            self.leave(owner)
            raise

    def owned_by(self, owner: Owner) -> bool:
        """Whether it is somebody's turn."""
        return self._owner is owner

    def leave(self, owner: Owner) -> None:
        """Let the next one have the turn, if it was this one's."""
        if self._owner is not owner:
            return
        self._owner = None
        while self._queue:
            wait = self._queue.popleft()
            if (wait.node is None or wait.node.alive) and not wait.turn.done():
                self._owner = wait.owner
                wait.turn.set_result(None)
                return

    def crashed(self, node: Node) -> None:
        """Let nothing of a dead node stand in the way."""
        if self._owner is not None:
            self._owner.crashed(node)
