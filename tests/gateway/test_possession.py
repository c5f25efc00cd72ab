"""Gateways that share a store know each other's proofs; each remembers its own whatever it says."""

import pytest

from holdfast.contract.http import Request
from holdfast.gateway import Possession
from holdfast.ports import Limits
from holdfast.resilience import MemoryLimits
from holdfast.security import TokenRefused
from tests.security.forge import ManualClock
from tests.security.proofs import HOLDER, METHOD, ORIGIN, PATH, bound, proof, thumbprint

TOKEN = bound()
CLOCK = ManualClock()


def gateway(shared: Limits | None = None) -> Possession:
    """Return what one gateway checks proofs with."""
    return Possession([ORIGIN], CLOCK, own=MemoryLimits(CLOCK), shared=shared)


async def send(one: Possession, name: str = "proof-1") -> None:
    """Have a gateway check a proof."""
    sent = proof(TOKEN, None, {"jti": name}).encode()
    request = Request(METHOD, PATH, headers=[(b"dpop", sent)])
    await one.check(request, TOKEN.encode(), thumbprint(HOLDER))


async def test_a_proof_is_good_once_for_all_gateways_that_share_a_store() -> None:
    """Whoever saw it go by cannot use it at the next one."""
    store = MemoryLimits(CLOCK)
    first, second = gateway(store), gateway(store)
    await send(first)

    with pytest.raises(TokenRefused, match="seen before"):
        await send(second)
    await send(second, "proof-2")


async def test_without_a_store_each_gateway_remembers_its_own() -> None:
    """As docs/tokens.md says."""
    first, second = gateway(), gateway()
    await send(first)
    await send(second)

    for one in (first, second):
        with pytest.raises(TokenRefused, match="seen before"):
            await send(one)


async def test_a_store_that_forgot_makes_no_proof_good_again_here() -> None:
    """A server that was away, or was started anew, has seen nothing."""
    one = Possession([ORIGIN], CLOCK, own=(own := MemoryLimits(CLOCK)), shared=MemoryLimits(CLOCK))
    await send(one)

    with pytest.raises(TokenRefused, match="seen before"):
        await send(Possession([ORIGIN], CLOCK, own=own, shared=MemoryLimits(CLOCK)))


async def test_a_proof_that_is_not_good_uses_up_no_name() -> None:
    """Nobody can spend what another one is about to send."""
    one = gateway()
    wrong = Request("POST", PATH, headers=[(b"dpop", proof(TOKEN).encode())])
    with pytest.raises(TokenRefused, match="htm is not POST"):
        await one.check(wrong, TOKEN.encode(), thumbprint(HOLDER))

    await send(one)
