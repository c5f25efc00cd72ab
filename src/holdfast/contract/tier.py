"""How important a request is: what a process serves first when it cannot serve all."""

from enum import IntEnum
from typing import Literal

TierName = Literal["critical", "normal", "bulk"]


class Tier(IntEnum):
    """The tiers, the most important first."""

    CRITICAL = 0
    NORMAL = 1
    BULK = 2

    @classmethod
    def named(cls, name: str) -> "Tier":
        """Return the tier that a declaration names.

        Raises:
            ValueError: there is no such tier.
        """
        for tier in cls:
            if tier.name.lower() == name:
                return tier
        known = ", ".join(repr(tier.name.lower()) for tier in cls)
        raise ValueError(f"tier={name!r} is no tier; there are {known}")
