"""Safeguards of the protocol that are switched off here; the others have doubles in the tests.

Without one a promise is broken: `holdfast sim --without` shows whether a workload notices.
`docs/protocol.md` lists all safeguards, what goes wrong without each, and its test.
"""

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Safeguards:
    """Every switch; all are on in production."""

    send_until_answered: bool = True
    answer_again: bool = True
    lease_renewed: bool = True
    commit_checked: bool = True
    commit_asked: bool = True
    advance_once: bool = True

    def without(self, name: str) -> "Safeguards":
        """Return a copy with one switch off. Raises ValueError for an unknown name."""
        if name not in {f.name for f in fields(self)}:
            raise ValueError(f"there is no safeguard {name!r}")
        return replace(self, **{name: False})


ALL_ON = Safeguards()
