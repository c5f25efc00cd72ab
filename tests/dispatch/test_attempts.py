"""Guessing meets a limit, for each account and for each address, before anything is worked out."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from holdfast import Attempts, Failure, Model, Rate, Read, Service
from holdfast.contract.http import Request, Response
from holdfast.dispatch.attempts import AttemptLimits, network_of
from holdfast.errors import RateLimited
from holdfast.observability import Metrics
from holdfast.resilience import MemoryLimits
from tests.dispatch.hosting import Hosted, hosting, system
from tests.virtual_loop import LoopClock


class LogIn(Model):
    """A name and a guess."""

    name: str
    guess: str


class Wrong(Failure, status=401):
    """It was not that."""


class Vault(Service):
    """A service that counts how often its lock was tried."""

    def __init__(self, attempts: Attempts) -> None:
        super().__init__("vault", tables=MetaData())
        self.tried: list[str] = []
        self.post("/v1/open", public=True, attempts=attempts)(self.open)

    async def open(self, body: LogIn, read: Read) -> str:
        """Open for one guess, of one name."""
        self.tried.append(body.name)
        if (body.name, body.guess) != ("ada", "right"):
            raise Wrong()
        return "open"


async def guess(
    hosted: Hosted, name: str, guess: str = "wrong", client: str = "10.0.0.1"
) -> Response:
    """Try once from an address."""
    body = LogIn(name=name, guess=guess).model_dump_json().encode()
    target, path = hosted.router.find("POST", "/v1/open")
    return await target.serve(Request("POST", "/v1/open", "", [], body, client=client), path)


def header(response: Response, name: bytes) -> str:
    return next(value.decode() for key, value in response.headers if key.lower() == name)


async def test_two_hundred_guesses_of_one_account(tmp_path: Path) -> None:
    """Ten are looked at, from however many addresses they come; the rest is 429 at once."""
    vault = Vault(Attempts(of="name"))
    async with hosting(system(vault), tmp_path) as hosted:
        answers = [await guess(hosted, "ada", client=f"10.0.0.{n}") for n in range(200)]

        assert [a.status for a in answers] == [401] * 10 + [429] * 190
        assert len(vault.tried) == 10
        assert header(answers[-1], b"retry-after") == "20"
        assert b"try again in 20 s" in answers[-1].body


SPELLINGS = [
    "ada@example.org",
    "ADA@example.org",
    " ada@example.org ",
    "ada@example.org\u200b",
    "a\u00adda@example.org",
    "\uff41da@example.org",
    "ad\u00e1@example.org",
    "ada\u0301@example.org",
    "ada\uff20example.org",
    "ada@example\u2024org",
]


async def test_no_spelling_of_an_account_has_attempts_of_its_own(tmp_path: Path) -> None:
    """Whatever a body, a handler or a collation forgives; another account has its own."""
    vault = Vault(Attempts(of="name", per_account=Rate(per_s=0.01, burst=2)))
    async with hosting(system(vault), tmp_path) as hosted:
        answers = [await guess(hosted, name) for name in SPELLINGS]
        other = await guess(hosted, "ada@example.com")

    assert [a.status for a in answers] == [401] * 2 + [429] * (len(SPELLINGS) - 2)
    assert other.status == 401


async def test_the_owner_gets_in_after_a_while(tmp_path: Path) -> None:
    """The right password does not help over the limit, and does when the time is over."""
    vault = Vault(Attempts(of="name"))
    async with hosting(system(vault), tmp_path) as hosted:
        for _ in range(11):
            refused = await guess(hosted, "ada", "right")
        assert refused.status == 429

        await asyncio.sleep(float(header(refused, b"retry-after")))

        assert (await guess(hosted, "ada", "right")).status == 200
        assert (await guess(hosted, "ada", "right")).status == 429


async def test_an_account_that_does_not_exist_is_limited_alike(tmp_path: Path) -> None:
    """Neither the number of tries nor the words tell which accounts exist."""
    vault = Vault(Attempts(of="name"))
    async with hosting(system(vault), tmp_path) as hosted:
        known = [await guess(hosted, "ada", client="10.0.0.1") for _ in range(12)]
        unknown = [await guess(hosted, "nobody", client="10.0.0.2") for _ in range(12)]

        assert [a.status for a in known] == [a.status for a in unknown]
        assert known[-1].body == unknown[-1].body


async def test_one_address_tries_some_accounts_only(tmp_path: Path) -> None:
    """Whoever tries one password with many names is slowed down; another address is not."""
    vault = Vault(Attempts(of="name", per_address=Rate(per_s=1, burst=5)))
    async with hosting(system(vault), tmp_path) as hosted:
        answers = [await guess(hosted, f"name-{n}") for n in range(20)]

        assert [a.status for a in answers] == [401] * 5 + [429] * 15
        assert (await guess(hosted, "ada", "right", client="10.0.0.2")).status == 200


async def test_an_address_over_its_limit_uses_up_no_account(tmp_path: Path) -> None:
    """It is asked first: the owner still has all attempts but those that were looked at."""
    vault = Vault(Attempts(of="name", per_address=Rate(per_s=0.01, burst=3)))
    async with hosting(system(vault), tmp_path) as hosted:
        for _ in range(50):
            await guess(hosted, "ada", client="10.0.0.66")

        owner = [(await guess(hosted, "ada", client=f"10.1.0.{n}")).status for n in range(8)]

        assert owner == [401] * 7 + [429]


async def test_a_limit_can_be_switched_off(tmp_path: Path) -> None:
    """Each of the two by itself."""
    vault = Vault(Attempts(of="name", per_account=None, per_address=None))
    async with hosting(system(vault), tmp_path) as hosted:
        assert {(await guess(hosted, "ada")).status for _ in range(100)} == {401}


async def test_routes_count_apart_and_replicas_together() -> None:
    """The key is the route and the account; who shares the store shares the count."""
    shared = MemoryLimits(LoopClock())
    refused = Metrics("tiny").rate_limited("vault")

    def limits(place: str) -> AttemptLimits:
        attempts = Attempts(of="name", per_account=Rate(per_s=0.1, burst=2))
        return AttemptLimits(attempts, place=place, body="body", limits=shared, refused=refused)

    values = {"body": LogIn(name="ada", guess="x")}
    one, replica, other = limits("vault"), limits("vault"), limits("door")
    await one.check("10.0.0.1", values)
    await replica.check("10.0.0.2", values)

    with pytest.raises(RateLimited, match="too many attempts"):
        await one.check("10.0.0.3", values)
    await other.check("10.0.0.3", values)
    assert refused.value == 1


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2002:cb00:7107::1", "203.0.113.7"),
        ("2002:cb00:7107:ffff::1", "203.0.113.7"),
        ("64:ff9b::cb00:7107", "203.0.113.7"),
        ("64:ff9b::cb00:7108", "203.0.113.8"),
        ("", ""),
        ("a name", "a name"),
    ],
)
def test_an_ipv6_network_is_one_address(client: str, network: str) -> None:
    """A host may use any of 2**64 addresses, and each would have a limit of its own."""
    assert network_of(client) == network
