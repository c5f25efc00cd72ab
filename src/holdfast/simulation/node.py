"""A node: one simulated process, which may be killed, paused and started again at any point."""

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Protocol, cast

from holdfast.simulation.callback import Callback

Step = Callable[["Node", str], None]
"""Told of each step that the outside can see; it may kill the node, or pause it."""


def _unseen(node: "Node", name: str) -> None:
    """Watch nothing."""


@dataclass(eq=False, slots=True)
class Node:
    """One life of one process. A restarted process is a new node of the same name.

    Attributes:
        name: `orders-2`; unique among those that are alive.
        service: what it hosts; "gateway", or the name of an External or a client.
        alive: a node that is dead does nothing more: no callback of it runs, no `finally`.
        paused: by how many; its callbacks wait in `held` until it goes on, as after SIGSTOP.
        context: in which its callbacks run; the loop knows by it whose they are.
        awaits: what its callbacks are counted by.
        mourners: done when it dies; whoever waits for what it does waits for one of them too.
    """

    name: str
    service: str
    on_step: Step = _unseen
    alive: bool = True
    paused: int = 0
    held: list[Callback] = field(default_factory=list[Callback])
    mourners: list["asyncio.Future[None]"] = field(default_factory=list["asyncio.Future[None]"])
    context: Context = field(init=False)
    awaits: str = field(init=False)

    def __post_init__(self) -> None:
        self.awaits = f"{self.service} await"
        self.context = copy_context()
        self.context.run(NODE.set, self)

    async def step(self, name: str) -> None:
        """Pass a step, such as `commit.before`. A node that dies here never returns from it."""
        self.on_step(self, name)
        if not self.alive:
            await asyncio.get_running_loop().create_future()
        elif self.paused:
            await asyncio.sleep(0)  # its callbacks are held: this returns when it goes on

    def spend(self, seconds: float) -> None:
        """Hold this node's loop for a while, as computing does; who calls this goes on at once."""
        self.paused += 1
        asyncio.get_running_loop().call_later(seconds, self.go_on, context=_NOBODY)

    def go_on(self) -> None:
        """Take back one pause, if there is any; with the last of them all that was held runs."""
        if self.paused:
            self.paused -= 1
        if self.held and not self.paused:
            held, self.held = self.held, []
            cast(_Loop, asyncio.get_running_loop()).go_on(held)

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        """Have something called inside this node, from outside of it."""
        asyncio.get_running_loop().call_soon(callback, *args, context=self.context)

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: object) -> None:
        """Have something called inside this node, in so many seconds."""
        asyncio.get_running_loop().call_later(delay_s, callback, *args, context=self.context)


_NOBODY = Context()


class _Loop(Protocol):
    """The simulation's loop, which imports this."""

    def go_on(self, held: list[Callback]) -> None: ...


NODE: ContextVar["Node | None"] = ContextVar("holdfast_node", default=None)
"""The node whose code runs; None for the world's own."""
