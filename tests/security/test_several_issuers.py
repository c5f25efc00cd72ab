"""Several issuers: a token's `iss` chooses who judges it, and the judge believes nothing else."""

from dataclasses import replace

import pytest

from holdfast.errors import Unauthenticated, Unreachable
from holdfast.security import (
    FixedKeys,
    Issuers,
    Jwks,
    TokenPolicy,
    TokenRefused,
    TokenVerifier,
    read_jwks,
)

from .forge import (
    AUDIENCE,
    ISSUER,
    NOW_S,
    POLICY,
    ManualClock,
    RotatingKeys,
    b64,
    claims,
    header,
    private_key,
    public_jwk,
    signed,
    token,
)
from .test_token_attacks import every_attack, published

STAFF = "https://staff.example"
STAFF_KEY = private_key("EdDSA", 41)
STAFF_POLICY = TokenPolicy(
    (STAFF, f"{STAFF}/old"), "staff-api", frozenset({"EdDSA"}), max_lifetime_s=300
)


def staff_token(**changes: object) -> str:
    """Return a good token of the second issuer; its key has the name that the first one's has."""
    good = {"iss": STAFF, "aud": "staff-api", "exp": NOW_S + 60}
    return token(body=claims(**{**good, **changes}), key=STAFF_KEY)


def staff_keys() -> Jwks:
    """Return the second issuer's set."""
    return read_jwks({"keys": [public_jwk(STAFF_KEY, "ed")]})


def both(clock: ManualClock | None = None) -> Issuers:
    """Return a judge of two issuers."""
    clock = clock or ManualClock()
    first = TokenVerifier(POLICY, FixedKeys(published()), clock)
    return Issuers([first, TokenVerifier(STAFF_POLICY, FixedKeys(staff_keys()), clock)])


async def refusal(judge: Issuers, sent: str | bytes) -> str:
    """Return why a token was refused."""
    with pytest.raises(Unauthenticated, match="invalid or has expired") as caught:
        await judge.verify(sent)
    assert judge.cached(sent) is None
    cause = caught.value.__cause__
    assert isinstance(cause, TokenRefused)
    return cause.reason


async def test_each_issuer_has_its_own_keys_and_policy() -> None:
    """Tokens of both are accepted, also under the second spelling of an issuer, and remembered."""
    judge = both()

    for good in (token(), staff_token(), staff_token(iss=f"{STAFF}/old")):
        found = await judge.verify(good)

        assert judge.cached(good) == found
    assert (await judge.verify(token())).issuer == ISSUER
    assert (await judge.verify(staff_token())).issuer == STAFF


async def test_subjects_of_two_issuers_are_kept_apart() -> None:
    """Each is known by its issuer's prefix, whatever the other one's subjects are called."""
    clock = ManualClock()
    judge = Issuers(
        [
            TokenVerifier(replace(POLICY, subject_prefix="a:"), FixedKeys(published()), clock),
            TokenVerifier(
                replace(STAFF_POLICY, subject_prefix="b:"), FixedKeys(staff_keys()), clock
            ),
        ]
    )

    found = [await judge.verify(sent) for sent in (token(), staff_token(sub="a:user-1"))]

    assert [claims.subject for claims in found] == ["a:user-1", "b:a:user-1"]


MIXED: dict[str, tuple[str, str]] = {
    "the first one's key, the second one's name": (token(body=claims(iss=STAFF)), "signature"),
    "the second one's key, the first one's name": (
        staff_token(iss=ISSUER, aud=AUDIENCE),
        "signature",
    ),
    "the second one's audience at the first": (token(body=claims(aud="staff-api")), "audience"),
    "the first one's audience at the second": (staff_token(aud=AUDIENCE), "audience"),
    "longer than the second one allows": (staff_token(exp=NOW_S + 301), "lifetime"),
    "an algorithm that only the first one takes": (
        token(header("ES256"), claims(iss=STAFF, aud="staff-api")),
        "algorithm",
    ),
    "an issuer that nobody knows": (token(body=claims(iss="https://evil.example")), "issuer"),
    "a known issuer with a slash": (staff_token(iss=f"{STAFF}/"), "issuer"),
    "both issuers in a list": (token(body=claims(iss=[ISSUER, STAFF])), "issuer"),
    "no issuer": (token(body=claims(iss=None)), "issuer"),
    "issuer twice": (
        signed(
            '{"alg":"EdDSA","typ":"at+jwt","kid":"ed"}',
            f'{{"iss":"{STAFF}","iss":"{ISSUER}"}}',
            STAFF_KEY,
        ),
        "malformed",
    ),
    "an issuer in the header alone": (
        token(header(iss=STAFF), claims(iss=None, aud="staff-api")),
        "issuer",
    ),
    "no signature": (f"{b64('{}')}.{b64('{}')}", "malformed"),
    "no claims": ("a.b.c", "malformed"),
    "opaque": ("2YotnFZFEjr1zCsicMWpAA", "malformed"),
    "too long for either": ("e" * 8_193, "too_long"),
}


@pytest.mark.parametrize("name", MIXED)
async def test_issuers_cannot_be_mixed(name: str) -> None:
    """What is one issuer's is of no use under the name of the other."""
    sent, reason = MIXED[name]

    assert await refusal(both(), sent) == reason


async def test_every_attack_meets_the_same_refusal_behind_two_issuers() -> None:
    """The choice of a judge lets nothing past the judge."""
    judge, alone = both(), TokenVerifier(POLICY, FixedKeys(published()), ManualClock())
    for name, forged, _ in every_attack():
        with pytest.raises(Unauthenticated):
            await alone.verify(forged)
        assert await refusal(judge, forged), name


async def test_an_issuer_that_is_away_takes_no_other_with_it() -> None:
    """Its own tokens are of unknown worth; those of the other are judged."""

    class Away:
        async def keys(self, *, refresh: bool) -> Jwks:
            raise Unreachable("no keys", edge="jwks")

    clock = ManualClock()
    first = TokenVerifier(POLICY, FixedKeys(published()), clock)
    judge = Issuers([first, TokenVerifier(STAFF_POLICY, Away(), clock)])

    assert await judge.verify(token())
    with pytest.raises(Unreachable, match="no keys"):
        await judge.verify(staff_token())


async def test_a_key_that_one_issuer_withdraws_ends_its_tokens_alone() -> None:
    """Both sets name their key alike."""
    clock = ManualClock()
    keys = RotatingKeys(replace(staff_keys(), fresh_until_s=clock.monotonic_s + 60))
    first = TokenVerifier(POLICY, FixedKeys(published()), clock)
    judge = Issuers([first, TokenVerifier(STAFF_POLICY, keys, clock)])
    await judge.verify(token())
    await judge.verify(staff_token())

    keys.jwks = read_jwks({"keys": [public_jwk(private_key("EdDSA", 42), "ed")]})
    clock.advance(61)

    assert await judge.verify(token())
    assert await refusal(judge, staff_token(exp=NOW_S + 120)) == "signature"


def test_two_judges_of_one_issuer_are_refused() -> None:
    """Whose word would count could not be told."""
    verifier = TokenVerifier(POLICY, FixedKeys(published()), ManualClock())

    with pytest.raises(ValueError, match=r"two policies are for the issuer 'https://issuer\.exam"):
        Issuers([verifier, verifier])
