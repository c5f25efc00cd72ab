"""The limits of attempts at one route: counted before its handler runs."""

import hashlib
import unicodedata
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from holdfast.errors import RateLimited
from holdfast.observability import Counter
from holdfast.ports import Limits
from holdfast.system import Attempts, Rate

_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
_SHOWN_AS_NOTHING = ("Mn", "Cf", "Cc")  # marks on a letter, joiners, control characters


class AttemptLimits:
    """What one route allows for an account and from an address.

    Args:
        place: names the route among all that share `limits`.
        body: the parameter that holds the body.
    """

    def __init__(
        self, attempts: Attempts, *, place: str, body: str, limits: Limits, refused: Counter
    ) -> None:
        self._attempts = attempts
        self._place = place
        self._body = body
        self._limits = limits
        self._refused = refused

    async def check(self, client: str, values: dict[str, object]) -> None:
        """Count an attempt from the address `client` with these inputs.

        The address is asked first: one that is over its limit uses up nobody's account.

        Raises:
            RateLimited: there were too many; it says the same whether the account exists or not.
        """
        attempts = self._attempts
        if attempts.per_address is not None:
            await self._take("address", network_of(client), attempts.per_address)
        if attempts.per_account is not None:
            account = getattr(values[self._body], attempts.of)
            await self._take("account", spelled_alike(account), attempts.per_account)

    async def _take(self, kind: str, key: str, rate: Rate) -> None:
        # A digest: keys are of one length, and a shared store holds nobody's address or name.
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        name = f"attempt:{self._place}:{kind}:{digest}"
        taken = await self._limits.try_take(name, rate.per_s, rate.burst)
        if not taken.allowed:
            self._refused.inc()
            wait_s = max(1, int(taken.reset_s + 0.999))
            raise RateLimited(
                f"too many attempts; try again in {wait_s} s", headers={"Retry-After": str(wait_s)}
            )


def spelled_alike(account: str) -> str:
    """Return what all spellings of an account have in common.

    A body's type, a handler or a database may forgive case, spaces and forms of a letter; each
    spelling that is forgiven would bring attempts of its own. That two accounts share a limit,
    because nothing else tells them apart, costs less.
    """
    if account.isascii():
        return "".join(account.split()).lower()
    folded = unicodedata.normalize("NFKD", account).casefold()
    return "".join(
        c
        for c in unicodedata.normalize("NFKD", folded)
        if unicodedata.category(c) not in _SHOWN_AS_NOTHING and not c.isspace()
    )


@lru_cache(maxsize=4_096)
def network_of(client: str) -> str:
    """Return what counts as one address: an IPv6 host owns a whole /64, and uses it if it pays.

    An IPv4 address that comes as an IPv6 one (mapped, 6to4 or through NAT64) is itself.
    """
    try:
        address = ip_address(client)
    except ValueError:
        return client  # a Unix socket, or nobody
    if not isinstance(address, IPv6Address):
        return client
    inside = address.ipv4_mapped or address.sixtofour
    if address in _NAT64:
        inside = IPv4Address(int(address) & 0xFFFFFFFF)
    return str(inside or ip_network((address, 64), strict=False))
