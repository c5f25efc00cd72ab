"""Good tokens are accepted, remembered as long as they may be, and no longer."""

import warnings
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from holdfast.errors import Unauthenticated, Unreachable
from holdfast.security import Claims, FixedKeys, Jwks, TokenPolicy, TokenVerifier, read_jwks

from .forge import (
    AUDIENCE,
    ISSUER,
    KIDS,
    NOW_S,
    POLICY,
    ManualClock,
    RotatingKeys,
    claims,
    header,
    issuer_jwks,
    private_key,
    public_jwk,
    token,
)


def verifier(policy: TokenPolicy = POLICY, clock: ManualClock | None = None) -> TokenVerifier:
    return TokenVerifier(policy, FixedKeys(issuer_jwks()), clock or ManualClock())


@pytest.mark.parametrize("algorithm", KIDS)
@pytest.mark.parametrize("kind", [str, bytes])
async def test_a_good_token_is_accepted(algorithm: str, kind: type) -> None:
    """Each algorithm is verified, from text and from bytes, and the claims are handed on."""
    good = token(header(algorithm))

    found = await verifier().verify(good if kind is str else good.encode())

    assert found == Claims(
        subject="user-1",
        scopes=frozenset({"orders:read", "orders:write"}),
        issuer=ISSUER,
        expires_at=NOW_S + 600,
        token_id="token-1",
    )


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("EdDSA", OKPKey.generate_key("Ed25519")),
        ("ES256", ECKey.generate_key("P-256")),
        ("RS256", RSAKey.generate_key(3072)),
    ],
)
async def test_a_token_of_another_library_is_accepted(algorithm: str, key: Any) -> None:
    """Keys and tokens that joserfc writes are read as it means them."""
    jwks = read_jwks({"keys": [{**key.as_dict(private=False), "kid": key.thumbprint()}]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # of EdDSA's newer name
        head = {"alg": algorithm, "kid": key.thumbprint(), "typ": "at+jwt"}
        foreign = jwt.encode(head, claims(), key, algorithms=[algorithm])

    found = await TokenVerifier(POLICY, FixedKeys(jwks), ManualClock()).verify(foreign)

    assert found.subject == "user-1"
    assert jwks.keys[key.thumbprint()][0].thumbprint == key.thumbprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["https://other.example", AUDIENCE]},
        {"aud": [AUDIENCE]},
        {"nbf": NOW_S},
        {"nbf": NOW_S + 5},
        {"iat": NOW_S + 5},
        {"iat": NOW_S - 86_400 + 1, "exp": NOW_S + 1},
        {"iat": NOW_S - 10, "exp": NOW_S - 4},
        {"exp": NOW_S + 86_400},
        {"client_id": "web", "act": {"sub": "x"}, "amr": ["pwd"], "nested": [{"a": 1.5}]},
    ],
    ids=str,
)
async def test_claims_at_the_edge_of_what_is_allowed(changes: dict[str, Any]) -> None:
    """The limits belong to what is allowed: leeway of 5 s, lifetime of a day."""
    found = await verifier().verify(token(body=claims(**changes)))

    assert found.subject == "user-1"


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (None, set[str]()),
        ("", set[str]()),
        ("a", {"a"}),
        ("a b:c https://x/y", {"a", "b:c", "https://x/y"}),
        ("a a", {"a"}),
    ],
)
async def test_scopes_are_separated_by_spaces(scope: str | None, expected: set[str]) -> None:
    """`scope` is one text (RFC 9068); without it a token carries none."""
    found = await verifier().verify(token(body=claims(scope=scope)))

    assert found.scopes == expected


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
async def test_typ_is_compared_as_a_media_type(typ: str) -> None:
    """Case and "application/" do not matter (RFC 7515, section 4.1.9)."""
    assert await verifier().verify(token(header(typ=typ)))


async def test_typ_jwt_is_accepted_only_where_it_is_asked_for() -> None:
    """A policy for "JWT" takes tokens without jti, and refuses access tokens of another kind."""
    plain = verifier(TokenPolicy(ISSUER, AUDIENCE, typ="JWT"))

    found = await plain.verify(token(header(typ="JWT"), claims(jti=None)))

    assert found.token_id == ""
    with pytest.raises(Unauthenticated, match="invalid or has expired"):
        await plain.verify(token())


async def test_an_algorithm_outside_the_policy_is_refused() -> None:
    """A key of the issuer does not help a token whose algorithm the policy leaves out."""
    strict = verifier(TokenPolicy(ISSUER, AUDIENCE, algorithms=frozenset({"EdDSA"})))

    assert await strict.verify(token())
    with pytest.raises(Unauthenticated, match="invalid or has expired"):
        await strict.verify(token(header("RS256")))


async def test_every_changed_character_is_noticed() -> None:
    """No position of a token may be changed, in any of its parts."""
    good = token()
    judge = verifier()
    changed = [
        good[:i] + ("A" if good[i] != "A" else "B") + good[i + 1 :] for i in range(len(good))
    ]

    for forged in changed:
        with pytest.raises(Unauthenticated, match="invalid or has expired"):
            await judge.verify(forged)

    assert judge.stats().refused == len(good)
    assert judge.stats().remembered == 0


async def test_a_token_expires_with_the_leeway() -> None:
    """A token is good while now < exp + leeway, remembered or not."""
    clock = ManualClock()
    judge, good = verifier(clock=clock), token()
    await judge.verify(good)

    clock.wall_s = NOW_S + 604.9
    assert judge.cached(good) is not None
    clock.wall_s = NOW_S + 605
    assert judge.cached(good) is None
    assert judge.stats().remembered == 0
    with pytest.raises(Unauthenticated, match="invalid or has expired"):
        await judge.verify(good)


async def test_a_verified_token_is_remembered() -> None:
    """The second look at a token asks for no key, and text and bytes are one token."""
    keys = RotatingKeys(issuer_jwks())
    judge, good = TokenVerifier(POLICY, keys, ManualClock()), token()

    assert judge.cached(good) is None
    first = await judge.verify(good)

    assert judge.cached(good) is judge.cached(good.encode()) is first
    assert await judge.verify(good) is first
    assert keys.calls == 1
    assert (judge.stats().hits, judge.stats().verified) == (3, 1)


async def test_the_least_recently_used_token_is_forgotten() -> None:
    """The cache holds `cache_max` tokens; looking at one keeps it."""
    judge = TokenVerifier(POLICY, FixedKeys(issuer_jwks()), ManualClock(), cache_max=2)
    one, two, three = (token(body=claims(jti=f"token-{n}")) for n in range(3))
    await judge.verify(one)
    await judge.verify(two)
    judge.cached(one)

    await judge.verify(three)

    assert judge.cached(two) is None
    assert judge.cached(one) is not None
    assert judge.stats().remembered == 2


async def test_a_withdrawn_key_takes_its_tokens_along() -> None:
    """Tokens of a key that left the set are refused, remembered ones too; others stay."""
    clock = ManualClock()
    every, few = issuer_jwks(), read_jwks({"keys": [public_jwk(private_key("ES256"), "ec")]})
    keys = RotatingKeys(Jwks(every.keys, fresh_until_s=clock.monotonic_s + 10))
    judge = TokenVerifier(POLICY, keys, clock)
    gone, kept = token(header("EdDSA")), token(header("ES256"))
    await judge.verify(gone)
    await judge.verify(kept)

    keys.jwks = few
    assert judge.cached(gone) is not None  # the set still counts as fresh
    clock.advance(10)

    assert judge.cached(gone) is None
    with pytest.raises(Unauthenticated, match="invalid or has expired"):
        await judge.verify(gone)
    assert judge.cached(kept) is not None
    assert judge.stats().remembered == 1


async def test_a_replaced_key_takes_its_tokens_along() -> None:
    """Another key under the same kid is another key."""
    clock = ManualClock()
    keys = RotatingKeys(Jwks(issuer_jwks().keys, fresh_until_s=clock.monotonic_s + 10))
    judge, good = TokenVerifier(POLICY, keys, clock), token()
    await judge.verify(good)

    keys.jwks = read_jwks({"keys": [public_jwk(private_key("EdDSA", 9), "ed")]})
    clock.advance(10)

    with pytest.raises(Unauthenticated, match="invalid or has expired"):
        await judge.verify(good)
    assert await judge.verify(token(key=private_key("EdDSA", 9)))


async def test_an_unknown_kid_asks_for_a_newer_set() -> None:
    """Only a kid that is not in the set does; a bad signature under a known kid does not."""
    keys = RotatingKeys(issuer_jwks())
    judge = TokenVerifier(POLICY, keys, ManualClock())

    for forged in (token(header(kid="new")), token(key=private_key("EdDSA", 9))):
        with pytest.raises(Unauthenticated, match="invalid or has expired"):
            await judge.verify(forged)

    assert keys.refreshes == 1


async def test_missing_keys_are_not_the_callers_fault() -> None:
    """When the issuer's keys are not available the answer is not 401: the token may be good."""

    class NoKeys:
        async def keys(self, *, refresh: bool) -> Jwks:
            raise Unreachable("no keys", edge="jwks")

    with pytest.raises(Unreachable, match="no keys"):
        await TokenVerifier(POLICY, NoKeys(), ManualClock()).verify(token())


async def test_the_realm_is_the_policys() -> None:
    """Who is refused is told for which API."""
    judge = verifier(TokenPolicy(ISSUER, AUDIENCE, realm="shop"))

    with pytest.raises(Unauthenticated, match="invalid") as caught:
        await judge.verify("x.y.z")

    assert caught.value.headers["WWW-Authenticate"].startswith('Bearer realm="shop", ')


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"issuer": ""}, "must not be empty"),
        ({"audience": ""}, "must not be empty"),
        ({"algorithms": frozenset()}, "algorithms must be"),
        ({"algorithms": frozenset({"HS256"})}, "algorithms must be"),
        pytest.param({"algorithms": frozenset({"EdDSA", "none"})}, "algorithms must be", id="none"),
        ({"typ": "id_token"}, "typ must be"),
        ({"typ": ()}, "typ must be"),
        ({"typ": ("at+jwt", "any")}, "typ must be"),
        ({"issuer": ()}, "must not be empty"),
        ({"issuer": (ISSUER, "")}, "must not be empty"),
        ({"audience": ()}, "must not be empty"),
        ({"audience": (AUDIENCE, "")}, "must not be empty"),
        ({"audience_claim": ""}, "must name a claim"),
        ({"subject_claim": ""}, "must name a claim"),
        ({"claims": {"hd": ""}}, "must give each claim a value"),
        ({"claims": {"hd": ()}}, "must give each claim a value"),
        ({"claims": {"hd": ("a", "")}}, "must give each claim a value"),
        ({"leeway_s": 601}, "leeway_s must be"),
        ({"leeway_s": -1}, "leeway_s must be"),
        ({"max_token_bytes": 0}, "must be >= 1"),
        ({"max_lifetime_s": 0}, "must be >= 1"),
        ({"realm": 'a"b'}, "realm must be"),
        ({"realm": "a\r\nb"}, "realm must be"),
    ],
    ids=str,
)
def test_a_policy_cannot_be_made_weak(changes: dict[str, Any], complaint: str) -> None:
    """Values that would let every token in, or break a header, are refused when declared."""
    with pytest.raises(ValueError, match=complaint):
        TokenPolicy(**{"issuer": ISSUER, "audience": AUDIENCE, **changes})


def test_a_cache_has_room() -> None:
    """A verifier without a cache is a mistake."""
    with pytest.raises(ValueError, match="cache_max must be >= 1"):
        TokenVerifier(POLICY, FixedKeys(issuer_jwks()), ManualClock(), cache_max=0)


async def test_header_members_that_change_nothing_are_ignored() -> None:
    """Some issuers add members such as x5t; RFC 7515 wants unknown ones ignored."""
    assert await verifier().verify(token(header(x5t="abc", nonce="1")))
