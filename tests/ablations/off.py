"""Switches a safeguard off: in production where it has a switch, else by a double of a function.

A double takes the place of the function that keeps the rule, and gets it as its first argument.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

import pytest

from holdfast.consistency.safeguards import ALL_ON, Safeguards

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Double:
    """What a function of production does without a safeguard: `off(real, …)`.

    Attributes:
        rule: the function that keeps it, if it is another one.
    """

    owner: type | ModuleType
    name: str
    off: Callable[..., Any]
    rule: Callable[..., Any] | None = None

    @property
    def place(self) -> tuple[str, str]:
        """The module, as docs/protocol.md names it, and the function that keeps the rule."""
        rule = self.rule or getattr(self.owner, self.name)
        path = rule.__module__.removeprefix("holdfast.").replace(".", "/")
        return path.removeprefix("consistency/"), rule.__name__

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Put it in the place of the function."""
        off, real = self.off, getattr(self.owner, self.name)

        def double(*args: Any, **kwargs: Any) -> Any:
            return off(real, *args, **kwargs)

        patch.setattr(self.owner, self.name, double)


DOUBLES: defaultdict[str, list[Double]] = defaultdict(list)


def without(
    switch: str, owner: type | ModuleType, name: str, *, rule: Callable[..., Any] | None = None
) -> Callable[[F], F]:
    """Make a function the double of another one, where `switch` is off."""
    assert callable(getattr(owner, name))

    def register(off: F) -> F:
        DOUBLES[switch].append(Double(owner, name, off, rule))
        return off

    return register


def switch_off(patch: pytest.MonkeyPatch, switch: str) -> Safeguards:
    """Switch one off as long as `patch` lasts; the result is to be handed to what is tested."""
    if switch not in DOUBLES:
        return ALL_ON.without(switch)
    for double in DOUBLES[switch]:
        double.install(patch)
    return replace(ALL_ON)  # not the same: the tests do not hold the run to what is promised


@contextmanager
def off(*switches: str) -> Iterator[Safeguards]:
    """Switch some off within a block."""
    safe = ALL_ON
    with pytest.MonkeyPatch.context() as patch:
        for switch in switches:
            safe = switch_off(patch, switch)
        yield safe


def _registered() -> frozenset[str]:
    for part in ("dispatch", "letters", "peers", "sagas"):
        import_module(f"tests.ablations.{part}")
    return frozenset({*DOUBLES, *(field.name for field in fields(Safeguards))})


SAFEGUARDS = _registered()
