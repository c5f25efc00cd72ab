"""Opaque tokens: what an issuer answers is read strictly, believed for a while, and asked once."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from holdfast.errors import BadAnswer, CircuitOpen, IssuerAway, Unauthenticated
from holdfast.security import (
    AnswersKept,
    Claims,
    FixedKeys,
    Issuers,
    OpaqueVerifier,
    TokenPolicy,
    TokenRefused,
    TokenVerifier,
)
from holdfast.security.introspection import ANSWER_BYTES_MAX

from .forge import AUDIENCE, ISSUER, NOW_S, POLICY, ManualClock, claims, token
from .test_token_attacks import published

OPAQUE = "2YotnFZFEjr1zCsicMWpAA"
ASKED = TokenPolicy(
    ISSUER, AUDIENCE, typ="", required=(), max_lifetime_s=2**40, fractional_times=True
)
KEPT = AnswersKept(taken_s=60.0, refused_s=5.0, tokens_max=3)


def answer(**changes: object) -> dict[str, Any]:
    """Return what an issuer says of a good token; a change to None removes the member."""
    good: dict[str, Any] = {
        "active": True,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "client_id": "web",
        "scope": "orders:read",
        "token_type": "Bearer",
        "exp": NOW_S + 600,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


@dataclass
class Issuer:
    """Answers from a table; `says` is for all tokens that are not in it."""

    says: Mapping[str, Any] | bytes | Exception = field(default_factory=answer)
    table: dict[str, Any] = field(default_factory=dict[str, Any])
    asked: list[str] = field(default_factory=list[str])
    gate: asyncio.Event | None = None

    async def ask(self, token: bytes) -> bytes:
        self.asked.append(token.decode())
        if self.gate is not None:
            await self.gate.wait()
        said = self.table.get(token.decode(), self.says)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, bytes) else json.dumps(said).encode()


def judge(issuer: Issuer, clock: ManualClock | None = None, **options: Any) -> OpaqueVerifier:
    """Return a verifier that asks this issuer."""
    policy = options.pop("policy", ASKED)
    return OpaqueVerifier(policy, issuer.ask, clock or ManualClock(), kept=KEPT, **options)


async def refusal(verifier: OpaqueVerifier | Issuers, sent: str | bytes) -> TokenRefused:
    """Return why a token was refused."""
    with pytest.raises(Unauthenticated, match="invalid or has expired") as caught:
        await verifier.verify(sent)
    cause = caught.value.__cause__
    assert isinstance(cause, TokenRefused)
    assert verifier.cached(sent) is None
    return cause


async def test_an_active_token_becomes_claims() -> None:
    """What the issuer says is what the caller is."""
    found = await judge(Issuer()).verify(OPAQUE)

    assert found == Claims("user-1", frozenset({"orders:read"}), ISSUER, NOW_S + 600, "", "web")


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"exp": None},
        {"exp": NOW_S + 10**9},
        {"exp": NOW_S - 4},
        {"exp": NOW_S + 0.5},
        {"nbf": NOW_S + 5},
        {"aud": ["x", AUDIENCE]},
        {"token_type": None},
        {"token_type": "bearer"},
        {"scope": None, "scp": ["orders:read"]},
        {"jti": "x", "username": "ada", "ext": {"a": 1}},
    ],
    ids=str,
)
async def test_what_issuers_leave_out_or_add_is_accepted(changes: dict[str, Any]) -> None:
    """Only `active` must be there (RFC 7662), and the subject, by which a caller is known."""
    assert (await judge(Issuer(answer(**changes))).verify(OPAQUE)).subject == "user-1"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "inactive": ({"active": False}, "inactive"),
    "inactive, with everything else good": (answer(active=False), "inactive"),
    "of another issuer": (answer(iss="https://evil.example"), "issuer"),
    "of an issuer in a list": (answer(iss=[ISSUER]), "issuer"),
    "for another audience": (answer(aud="https://other.example"), "audience"),
    "for no audience": (answer(aud=None), "audience"),
    "with our audience inside another": (answer(aud=f"{AUDIENCE}.evil.example"), "audience"),
    "expired, and still called active": (answer(exp=NOW_S - 5), "expired"),
    "with exp as a text": (answer(exp=str(NOW_S + 60)), "claim"),
    "with exp true": (answer(exp=True), "claim"),
    "not yet good": (answer(nbf=NOW_S + 6), "not_yet"),
    "issued in the future": (answer(iat=NOW_S + 6), "not_yet"),
    "without a subject": (answer(sub=None), "claim"),
    "with an empty subject": (answer(sub=""), "claim"),
    "with a subject of two lines": (answer(sub="a\nadmin"), "claim"),
    "with scopes as an object": (answer(scope={"admin": True}), "scope"),
    "with scopes in two lines": (answer(scope="a\nadmin"), "scope"),
    "a refresh token": (answer(token_type="refresh_token"), "claim"),
    "an ID token": (answer(token_type="N_A"), "claim"),
    "with a type in a list": (answer(token_type=["Bearer"]), "claim"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_the_issuer_does_not_vouch_for_is_refused(name: str) -> None:
    """For the reason that it is one."""
    says, reason = REFUSED[name]

    assert (await refusal(judge(Issuer(says)), OPAQUE)).reason == reason


async def test_refresh_tokens_are_kept_out_by_what_tells_them_apart() -> None:
    """Some issuers call them active; a pinned member refuses them."""
    policy = replace(ASKED, claims={"typ": "Bearer"})

    assert await judge(Issuer(answer(typ="Bearer")), policy=policy).verify(OPAQUE)
    refused = await refusal(judge(Issuer(answer(typ="Refresh")), policy=policy), OPAQUE)
    assert refused.reason == "claim"


async def test_an_audience_may_be_left_to_the_issuer() -> None:
    """It knows who asks, and answers for that client alone."""
    for aud in (None, "whatever", ["a", "b"]):
        issuer = Issuer(answer(aud=aud))

        assert await judge(issuer, any_audience=True).verify(OPAQUE)


NO_ANSWERS: dict[str, Any] = {
    "nothing": b"",
    "a page": b"<html>sign in</html>",
    "a list": b"[true]",
    "active twice": b'{"active": false, "active": true, "sub": "user-1"}',
    "active as a text": {"active": "true", "sub": "user-1"},
    "active as a number": {"active": 1, "sub": "user-1"},
    "no active": {"sub": "user-1"},
    "an error": {"error": "invalid_client"},
    "UTF-16": json.dumps(answer()).encode("utf-16"),
    "NaN": b'{"active": true, "exp": NaN}',
    "nested without end": b'{"a":' + b"[" * 30_000 + b"}",
    "more than we read": b'{"active": true, "x": "' + b"x" * 70_000 + b'"}',
    "an issuer that is away": BadAnswer("answered 500"),
    "an open circuit": CircuitOpen("open"),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_no_answer_is_no_refusal(name: str) -> None:
    """The token may be good: it is 503, it is not remembered, and the next one asks again."""
    issuer = Issuer(NO_ANSWERS[name])
    verifier = judge(issuer)

    with pytest.raises(IssuerAway, match="not to be asked") as caught:
        await verifier.verify(OPAQUE)
    assert (caught.value.status, caught.value.edge) == (503, "introspection")
    issuer.says = answer()
    assert await verifier.verify(OPAQUE)


async def test_an_answer_holds_its_length() -> None:
    """To the byte; one more is no answer, and so no refusal."""
    full = json.dumps(answer()).encode().ljust(ANSWER_BYTES_MAX)

    assert (await judge(Issuer(full)).verify(OPAQUE)).subject == "user-1"
    with pytest.raises(IssuerAway, match=f"more than {ANSWER_BYTES_MAX} bytes"):
        await judge(Issuer(full + b" ")).verify(OPAQUE)


@pytest.mark.parametrize(
    "sent",
    [
        *("", "a b", "a,b", "a\nb", "a&token=b", "a=b", "ä", "=", "a\x00", '{"payload":"e30"}'),
        "e" * 8_193,
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_what_is_no_token_is_not_asked_about(sent: str) -> None:
    """Nothing is sent to an issuer that could be read there as something else."""
    issuer = Issuer()

    assert (await refusal(judge(issuer), sent)).reason in ("malformed", "too_long")
    assert issuer.asked == []


async def test_an_answer_is_believed_for_a_while() -> None:
    """A minute here: then the issuer is asked again, and a revoked token is refused."""
    issuer, clock = Issuer(), ManualClock()
    verifier = judge(issuer, clock)
    for _ in range(3):
        await verifier.verify(OPAQUE)
    assert len(issuer.asked) == 1

    issuer.says = {"active": False}
    clock.advance(59.9)
    assert verifier.cached(OPAQUE)
    clock.advance(0.2)
    assert (await refusal(verifier, OPAQUE)).reason == "inactive"
    assert len(issuer.asked) == 2


async def test_an_answer_is_not_believed_after_the_tokens_end() -> None:
    """`exp` and the leeway, however long answers are kept."""
    issuer, clock = Issuer(answer(exp=NOW_S + 20)), ManualClock()
    verifier = judge(issuer, clock)
    await verifier.verify(OPAQUE)

    clock.advance(24.9)
    assert verifier.cached(OPAQUE)
    clock.advance(0.2)
    assert (await refusal(verifier, OPAQUE)).reason == "expired"


async def test_a_refusal_is_believed_briefly() -> None:
    """Whoever sends a bad token again and again costs the issuer one question in five seconds."""
    issuer, clock = Issuer({"active": False}), ManualClock()
    verifier = judge(issuer, clock)
    for _ in range(10):
        await refusal(verifier, OPAQUE)
    assert len(issuer.asked) == 1

    issuer.says = answer()
    clock.advance(5.1)
    assert await verifier.verify(OPAQUE)


async def test_made_up_tokens_push_no_good_one_out() -> None:
    """What is refused is kept apart from what is accepted, and both are bounded."""
    issuer = Issuer({"active": False}, {OPAQUE: answer()})
    verifier = judge(issuer)
    await verifier.verify(OPAQUE)

    for number in range(50):
        await refusal(verifier, f"made-up-{number}")

    assert verifier.cached(OPAQUE)
    await refusal(verifier, "made-up-0")
    assert issuer.asked.count("made-up-0") == 2  # forgotten: three are kept


async def test_so_many_refusals_are_remembered() -> None:
    """Three here: the fourth is remembered instead of the first."""
    issuer = Issuer({"active": False})
    verifier = judge(issuer)
    for name in ("a", "b", "c", "a", "d", "b", "a"):
        await refusal(verifier, name)

    assert issuer.asked == ["a", "b", "c", "d", "a"]


async def test_the_least_recently_used_token_is_forgotten_first() -> None:
    """Three are kept here."""
    issuer = Issuer()
    verifier = judge(issuer)
    for name in ("a", "b", "c", "a", "d"):
        await verifier.verify(name)

    assert [name for name in "abcd" if verifier.cached(name)] == ["a", "c", "d"]


async def test_many_requests_with_one_token_are_one_question() -> None:
    """They wait for the same answer; who leaves does not take it from the others."""
    issuer = Issuer(gate=asyncio.Event())
    verifier = judge(issuer)
    waiting = [asyncio.create_task(verifier.verify(OPAQUE)) for _ in range(20)]
    other = asyncio.create_task(verifier.verify("another"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)

    assert issuer.gate is not None
    issuer.gate.set()
    found = await asyncio.gather(*waiting[1:], other)

    assert len(found) == 20
    assert sorted(issuer.asked) == [OPAQUE, "another"]


async def test_closing_ends_what_is_being_asked() -> None:
    """Nobody is left waiting, and no task is left behind."""
    issuer = Issuer(gate=asyncio.Event())
    verifier = judge(issuer)
    waiting = asyncio.create_task(verifier.verify(OPAQUE))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    await verifier.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting


def beside_signed(issuer: Issuer, **options: Any) -> Issuers:
    """Return a judge of signed tokens of one issuer and opaque ones of another."""
    clock = ManualClock()
    policy = replace(ASKED, issuer="https://opaque.example")
    signed = TokenVerifier(POLICY, FixedKeys(published()), clock)
    return Issuers([signed], judge(issuer, clock, policy=policy, **options))


NEVER_SENT: dict[str, str] = {
    "a good one": token(),
    "one of the issuer that is asked": token(body=claims(iss="https://opaque.example")),
    "one of nobody": token(body=claims(iss="https://evil.example")),
    "a bad signature": token()[:-8] + "AAAAAAAA",
    "without its signature": token().rpartition(".")[0],
    "an encrypted one": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA",
    "with spaces in its header": "ICB7ImFsZyI6ICJub25lIn0.e30.",
    "with a mark in front of its header": "77u_eyJhbGciOiAibm9uZSJ9.e30.",
}


@pytest.mark.parametrize("name", NEVER_SENT)
async def test_a_signed_token_is_not_shown_to_the_issuer_that_is_asked(name: str) -> None:
    """Whoever gets to see a token of somebody else could use it."""
    issuer = Issuer(answer(iss="https://opaque.example"))
    judge = beside_signed(issuer)

    if name == "a good one":
        assert await judge.verify(NEVER_SENT[name])
    else:
        await refusal(judge, NEVER_SENT[name])
    assert issuer.asked == []


async def test_signed_tokens_are_asked_about_where_that_is_declared() -> None:
    """Those of that issuer alone; it can take them back then."""
    issuer = Issuer(answer(iss="https://opaque.example"))
    judge = beside_signed(issuer, takes_signed=True)
    sent = token(body=claims(iss="https://opaque.example"))

    assert await judge.verify(sent)
    assert await judge.verify(token())
    await refusal(judge, token(body=claims(iss="https://evil.example")))
    assert issuer.asked == [sent]


@pytest.mark.parametrize("sent", [OPAQUE, "ya29.a0AfB_by", "v4.public.AAAA", "ory_at_x.y", "a==="])
async def test_opaque_tokens_look_many_ways(sent: str) -> None:
    """With dots or without, they are asked about."""
    issuer = Issuer(answer(iss="https://opaque.example"))

    assert await beside_signed(issuer).verify(sent)
    assert issuer.asked == [sent]
