"""How many connections each client address has open, so that one cannot take all places."""

from collections import Counter
from collections.abc import Callable


class Occupancy:
    """Counts the connections of a server by where they come from.

    Args:
        connections_max: of one address; None: only the server's own limit is there.
        counted_as: returns under which name an address is counted; "": it is not, such as that of
            a proxy, behind which is everybody.
    """

    __slots__ = ("_connections_max", "_counted_as", "_open")

    def __init__(self, connections_max: int | None, counted_as: Callable[[str], str] = str) -> None:
        self._connections_max = connections_max
        self._counted_as = counted_as
        self._open = Counter[str]()

    @property
    def counted(self) -> int:
        """How many addresses are counted at the moment."""
        return len(self._open)

    def try_enter(self, address: str) -> bool:
        """Count one more connection of an address; False: it has as many as it may have."""
        if self._connections_max is None:
            return True
        name = self._counted_as(address)
        if not name:
            return True
        if self._open[name] >= self._connections_max:
            return False
        self._open[name] += 1
        return True

    def leave(self, address: str) -> None:
        """Count a connection out that was let in."""
        if self._connections_max is None:
            return
        name = self._counted_as(address)
        if name:
            self._open[name] -= 1
            if not self._open[name]:  # addresses that are gone do not stay
                del self._open[name]
