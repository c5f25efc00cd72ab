"""The history of a run: everything that the outside could have seen, in order, with a digest."""

import hashlib
from dataclasses import dataclass, field

from holdfast.contract.model import JsonObject


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened.

    Attributes:
        at_s: virtual seconds since the start.
        node: where; "" for the world itself.
        kind: such as `commit`, `broker.deliver`, `fault`, `request`, `answer`.
        fields: what else there is to say; plain values.
    """

    at_s: float
    node: str
    kind: str
    fields: JsonObject

    def __str__(self) -> str:
        told = " ".join(f"{key}={value}" for key, value in self.fields.items())
        return f"{self.at_s:10.4f}  {self.node:<16} {self.kind:<18} {told}".rstrip()


@dataclass(slots=True)
class History:
    """Gathers what happened."""

    happenings: list[Happening] = field(default_factory=list[Happening])

    def add(self, at_s: float, node: str, kind: str, fields: JsonObject) -> None:
        """Add what happened last."""
        self.happenings.append(Happening(at_s, node, kind, fields))

    def of(self, kind: str) -> list[Happening]:
        """Return all of one kind, in order."""
        return [happening for happening in self.happenings if happening.kind == kind]

    def digest(self) -> str:
        """Return a hash of everything; equal for equal seeds."""
        whole = hashlib.blake2b(digest_size=16)
        for happening in self.happenings:
            whole.update(f"{happening}\n".encode())
        return whole.hexdigest()
