"""Test cards: each name stands for one way in which a charge can go."""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """How a card behaves; "first tries" are those with one and the same Idempotency-Key.

    Attributes:
        declined: the reason of the refusal; "" pays.
        errors: so many first tries end with a 500, before anything is charged.
        silent_before: so many first tries get no answer in time, and nothing is charged.
        silent_after: so many first tries are charged, and get no answer in time.
    """

    declined: str = ""
    errors: int = 0
    silent_before: int = 0
    silent_after: int = 0

    @property
    def misbehaves(self) -> bool:
        """Whether the number of the try matters."""
        return bool(self.errors or self.silent_before or self.silent_after)


CARDS = {
    "tok_ok": Card(),
    "tok_insufficient_funds": Card(declined="insufficient_funds"),
    "tok_stolen": Card(declined="stolen_card"),
    "tok_fails_twice": Card(errors=2),
    "tok_silent_before": Card(silent_before=1),
    "tok_silent_after": Card(silent_after=1),
    "tok_hangs": Card(silent_before=8),
}
UNKNOWN = Card(declined="unknown_card")


class Tries:
    """Counts the tries of each key; at `keys_max` the one that was idle longest is forgotten."""

    def __init__(self, keys_max: int = 10_000) -> None:
        self._keys_max = keys_max
        self._counts: OrderedDict[str, int] = OrderedDict()

    def count(self, key: str) -> int:
        """Count one more try of a key; return which one it is, from 1."""
        number = self._counts.pop(key, 0) + 1
        self._counts[key] = number
        if len(self._counts) > self._keys_max:
            self._counts.popitem(last=False)
        return number
