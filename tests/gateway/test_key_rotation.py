"""Issuers change their keys while requests come in: nobody who holds a good token is refused."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast import Caller, Gateway, Query, Read, Service, System, Tokens
from holdfast.security import SigningKey, TokenSigner, public_jwks
from holdfast.testing import Running, running, virtual_time

ISSUER, AUDIENCE = "https://issuer.example", "https://api.example"
OLD, NEW, STAFF = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))
LIFE_S = 60
WITHDRAWN_S = 320
"""How long a gateway goes without looking at the keys, at the longest (docs/tokens.md)."""


class GetKeys(Query[str]):
    """Ask for the public keys."""


class GetStaffKeys(Query[str]):
    """Ask for those of the second issuer."""


@dataclass
class Mint:
    """A system that signs tokens: its keys are what a test says that they are now."""

    published: list[SigningKey] = field(default_factory=lambda: [OLD])
    signing: SigningKey = OLD
    signed: int = 0

    @property
    def system(self) -> System:
        """The system, behind a gateway that accepts two issuers."""
        service = Service("mint")
        service.handles(self.keys)
        service.handles(self.staff_keys)
        service.post("/v1/tokens", public=True)(self.sign)
        service.get("/v1/me")(self.me)
        issuers = (
            Tokens(ISSUER, AUDIENCE, GetKeys),
            Tokens("https://staff.example", "staff", GetStaffKeys),
        )
        gateway = Gateway(tokens=issuers, per_caller=None, per_address=None)
        return System("mint", services=[service], gateway=gateway)

    async def keys(self, query: GetKeys) -> str:
        """Bring the keys of now."""
        return json.dumps(public_jwks(self.published))

    async def staff_keys(self, query: GetStaffKeys) -> str:
        """Bring a key that never changes."""
        return json.dumps(public_jwks([STAFF]))

    async def sign(self, read: Read, staff: bool = False) -> str:
        """Sign a fresh token with the key that is used now."""
        self.signed += 1
        if staff:
            signer = TokenSigner(STAFF, issuer="https://staff.example", audience="staff")
        else:
            signer = TokenSigner(self.signing, issuer=ISSUER, audience=AUDIENCE)
        now, number = read.now.timestamp(), str(self.signed)
        return signer.sign("ada", (), now=now, lifetime_s=LIFE_S, token_id=number)

    async def me(self, caller: Caller) -> str:
        """Say who asks."""
        return caller.subject


async def token(run: Running, *, staff: bool = False) -> str:
    """Return a fresh token."""
    answer = await run.client.post(f"/v1/tokens?staff={str(staff).lower()}")
    signed: str = answer.json()
    return signed


async def stream(run: Running, seconds: int, at: dict[int, Callable[[], None]]) -> list[int]:
    """Ask once a second, each time with a fresh token and with one that is half a minute old.

    Args:
        at: {second: what then happens}.
    Returns:
        the status of each answer.
    """
    statuses: list[int] = []
    kept: list[str] = []
    for second in range(seconds):
        at.get(second, lambda: None)()
        kept.append(await token(run))
        for sent in (kept[-1], kept[max(0, second - LIFE_S // 2)]):
            statuses.append((await run.client.get("/v1/me", token=sent)).status)
        if second % 10 == 0:
            staff = await token(run, staff=True)
            statuses.append((await run.client.get("/v1/me", token=staff)).status)
        await asyncio.sleep(1)
    return statuses


@virtual_time
async def test_keys_that_overlap_are_rotated_without_a_refusal() -> None:
    """The three steps of docs/tokens.md under a stream of requests: publish, sign, withdraw."""
    mint = Mint()

    def withdraw() -> None:
        mint.published = [NEW]

    async with running(mint.system) as run:
        publish, sign = 50, 50 + WITHDRAWN_S
        statuses = await stream(
            run,
            sign + 2 * LIFE_S + 2 * WITHDRAWN_S,
            {
                publish: lambda: mint.published.append(NEW),
                sign: lambda: setattr(mint, "signing", NEW),
                sign + LIFE_S + 6: withdraw,
            },
        )

    assert set(statuses) == {200}
    assert len(statuses) > 2_000


@virtual_time
async def test_a_new_key_is_found_before_the_kept_set_is_stale() -> None:
    """An issuer signs with a key in the moment in which it publishes it, whenever that is.

    Every second one is just after the kept set, 300 s old, was looked at by itself.
    """
    mint, number = Mint(), 10

    def rotate() -> None:
        nonlocal number
        number += 1
        mint.signing = SigningKey(bytes([number]) * 32)
        mint.published = [*mint.published[-2:], mint.signing]  # older ones have no tokens left

    async with running(mint.system) as run:
        moments = [begun + after for begun in range(100, 1_700, 400) for after in (0, 304)]
        statuses = await stream(run, 2_000, dict.fromkeys(moments, rotate))

    assert number == 10 + len(moments)
    assert set(statuses) == {200}


@virtual_time
async def test_a_key_that_is_withdrawn_is_refused_in_time() -> None:
    """What the gateway remembers of its tokens ends with it; before that they are good."""
    mint = Mint()
    async with running(mint.system) as run:
        await run.client.get("/v1/me", token=await token(run))
        mint.published = [NEW]
        await asyncio.sleep(WITHDRAWN_S)
        refused = await run.client.get("/v1/me", token=await token(run))
        mint.signing = NEW
        taken = await run.client.get("/v1/me", token=await token(run))

    assert (refused.status, taken.status) == (401, 200)
