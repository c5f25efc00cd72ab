"""Every bound of tokens, keys and passwords, at its value and one step beyond."""

import hashlib
import json
from typing import Any

import pytest

from holdfast.errors import BadAnswer, Forbidden, Unauthenticated
from holdfast.security import (
    FixedKeys,
    TokenPolicy,
    TokenRefused,
    TokenSigner,
    TokenVerifier,
    hash_password,
    is_outdated,
    password_matches,
    read_jwks,
    scope_missing,
    token_invalid,
    token_missing,
)
from holdfast.security.bearer import is_quotable
from holdfast.security.claims import read_claims
from holdfast.security.keys import JWKS_KEYS_MAX, read_key
from holdfast.security.tokens import KEYS_TRIED_MAX

from .forge import (
    AUDIENCE,
    ISSUER,
    NOW_S,
    POLICY,
    ManualClock,
    b64,
    b64_int,
    claims,
    header,
    issuer_jwks,
    jwk_id,
    private_key,
    public_jwk,
    token,
)
from .test_issuing import KEY
from .test_passwords import SALT, cheap

ED = public_jwk(private_key("EdDSA"), "ed")
RS = public_jwk(private_key("RS256"), "rs")
OPEN = TokenPolicy(
    ISSUER, AUDIENCE, typ=("at+jwt", "JWT"), required=(), fractional_times=True, leeway_s=7
)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("leeway_s", (0, 600), (-1, 601)),
        ("max_token_bytes", (1,), (0,)),
        ("max_lifetime_s", (1,), (0,)),
        ("realm", ("", " ~", "a'b"), ('"', "\\", "\n", "\x7f", "ä")),
        ("algorithms", (frozenset({"ES256"}),), (frozenset(), frozenset({"ES256", "x"}))),
        ("typ", ("at+jwt", "JWT", "", ("JWT", "")), ((), "jwt", ("JWT", "x"))),
    ],
)
def test_a_policy_holds_its_bounds(field: str, good: tuple[Any, ...], bad: tuple[Any, ...]) -> None:
    """The value at a bound is kept as it is."""
    for value in good:
        assert getattr(TokenPolicy(ISSUER, AUDIENCE, **{field: value}), field) == value
    for value in bad:
        with pytest.raises(ValueError, match=field):
            TokenPolicy(ISSUER, AUDIENCE, **{field: value})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": NOW_S - 6, "iat": None}, None),
        ({"exp": NOW_S - 7, "iat": None}, "expired"),
        ({"exp": NOW_S + 86_400, "iat": None}, None),
        ({"exp": NOW_S + 86_401, "iat": None}, "lifetime"),
        ({"iat": NOW_S + 7, "exp": NOW_S + 8}, None),
        ({"iat": NOW_S + 7, "exp": NOW_S + 7}, "lifetime"),
        ({"iat": NOW_S + 8, "exp": NOW_S + 9}, "not_yet"),
        ({"nbf": NOW_S + 7}, None),
        ({"nbf": NOW_S + 8}, "not_yet"),
        ({"nbf": NOW_S + 7.0}, None),
        ({"nbf": NOW_S + 7.001}, "not_yet"),
        ({"nbf": 0}, None),
        ({"nbf": 0.0}, None),
        ({"nbf": -1}, "claim"),
        ({"nbf": -0.5}, "claim"),
        ({"nbf": 2.0**53}, "not_yet"),
        ({"nbf": 2.0**53 + 2}, "claim"),
        ({"nbf": True}, "claim"),
        ({"exp": NOW_S - 6.5, "iat": None}, "expired"),  # down to the second before
        ({"iat": NOW_S + 7.9, "exp": NOW_S + 9}, None),
    ],
    ids=str,
)
def test_times_hold_their_bounds(changes: dict[str, Any], reason: str | None) -> None:
    """With a leeway of seven seconds, a lifetime of a day, and fractions to the safe side."""
    body = claims(**changes)
    if reason is None:
        assert read_claims(body, OPEN, NOW_S).subject == "user-1"
    else:
        with pytest.raises(TokenRefused) as refused:
            read_claims(body, OPEN, NOW_S)
        assert refused.value.reason == reason


def test_what_is_shown_of_a_claim_is_short() -> None:
    """A number of 256 bits is written out; beyond, it is only said how long it is."""
    for bits, shown in ((256, str(2**256 - 1)[:100]), (257, "a number of 257 bits")):
        with pytest.raises(TokenRefused) as refused:
            read_claims(claims(sub=2**bits - 1), POLICY, NOW_S)
        assert str(refused.value) == f"sub is not a printable text: {shown}"
    with pytest.raises(TokenRefused) as refused:
        read_claims(claims(sub=None), POLICY, NOW_S)
    assert str(refused.value) == "sub is not a printable text: missing"
    with pytest.raises(TokenRefused) as refused:
        read_claims(claims(sub="\n" * 500), POLICY, NOW_S)
    assert str(refused.value) == "sub is not a printable text: " + ascii("\n" * 500)[:100]


@pytest.mark.parametrize(("typ", "needs"), [("at+jwt", True), ("JWT", False)])
def test_an_access_token_has_an_id(typ: str, needs: bool) -> None:
    """RFC 9068 wants one in each; where another kind of token has one, it is a good one."""
    body = claims(jti=None)
    if needs:
        with pytest.raises(TokenRefused, match="jti"):
            read_claims(body, OPEN, NOW_S, typ=typ)
    else:
        assert read_claims(body, OPEN, NOW_S, typ=typ).token_id == ""
    assert read_claims(claims(), OPEN, NOW_S, typ=typ).token_id == "token-1"
    with pytest.raises(TokenRefused, match="jti"):
        read_claims(claims(jti=""), OPEN, NOW_S, typ=typ)


def rsa_jwk(bits: int, exponent: int = 65_537) -> dict[str, Any]:
    """Return an RSA key of so many bits, that nobody has the other half of."""
    return {**RS, "n": b64_int(2 ** (bits - 1) + 1), "e": b64_int(exponent)}


@pytest.mark.parametrize(
    ("jwk", "fits"),
    [
        *((rsa_jwk(2_047), False), (rsa_jwk(2_048), True)),
        *((rsa_jwk(8_192), True), (rsa_jwk(8_193), False)),
        *((rsa_jwk(2_048, 2**32 - 1), True), (rsa_jwk(2_048, 2**32 + 1), False)),
        *(({**ED, "use": "sig"}, True), ({**ED, "use": "enc"}, False), ({**ED, "use": ""}, False)),
        *(({**ED, "key_ops": ["x", "verify"]}, True), ({**ED, "key_ops": []}, False)),
        *(({**ED, "alg": "EdDSA"}, True), ({**ED, "alg": "Ed25519"}, True)),
        *(({**RS, "alg": "Ed25519"}, False), ({**RS, "alg": "RS256"}, True)),
        *(({**ED, name: "AA"}, False) for name in ("d", "p", "q", "dp", "dq", "qi", "oth", "k")),
    ],
    ids=jwk_id,
)
def test_a_key_holds_its_bounds(jwk: dict[str, Any], fits: bool) -> None:
    """Bits, exponents, uses; and any member of a secret half makes it worthless."""
    if fits:
        assert read_key(jwk).kid == jwk["kid"]
    else:
        with pytest.raises(ValueError, match=r"bits|use|key_ops|alg|secret"):
            read_key(jwk)


def test_a_set_holds_its_bounds() -> None:
    """256 KiB to the byte, and so many keys."""
    document = json.dumps({"keys": [ED]}).encode()
    full = document + b" " * (262_144 - len(document))

    assert list(read_jwks(full).keys) == ["ed"]
    with pytest.raises(BadAnswer, match="more than 262144 bytes"):
        read_jwks(full + b" ")
    keys = [{**ED, "kid": f"ed-{number}"} for number in range(JWKS_KEYS_MAX + 1)]
    assert len(read_jwks({"keys": keys[:-1]}).keys) == JWKS_KEYS_MAX
    with pytest.raises(BadAnswer, match="more than 100 keys"):
        read_jwks({"keys": keys})


@pytest.mark.parametrize(("number", "fits"), [(KEYS_TRIED_MAX, True), (KEYS_TRIED_MAX + 1, False)])
async def test_so_many_keys_are_tried(number: int, fits: bool) -> None:
    """The last of them too; with one more, none."""
    keys = [public_jwk(private_key("EdDSA", n), "ed") for n in range(number)]
    judge = TokenVerifier(POLICY, FixedKeys(read_jwks({"keys": keys})), ManualClock())
    good = token(key=private_key("EdDSA", number - 1))

    if fits:
        assert (await judge.verify(good)).subject == "user-1"
    else:
        with pytest.raises(Unauthenticated) as refused:
            await judge.verify(good)
        assert isinstance(refused.value.__cause__, TokenRefused)
        assert refused.value.__cause__.reason == "kid"
    assert KEYS_TRIED_MAX == 16


async def test_a_token_holds_its_length() -> None:
    """To the byte: as long as the policy says, and one longer."""
    good = token()
    for length, fits in ((len(good), True), (len(good) - 1, False)):
        policy = TokenPolicy(ISSUER, AUDIENCE, max_token_bytes=length)
        judge = TokenVerifier(policy, FixedKeys(issuer_jwks()), ManualClock(), cache_max=1)
        if fits:
            assert await judge.verify(good) is judge.cached(good)
        else:
            with pytest.raises(Unauthenticated):
                await judge.verify(good)
            assert judge.cached(good) is None


async def test_a_verifier_counts_what_it_does() -> None:
    """Known, verified, refused and remembered: each once."""
    judge = TokenVerifier(POLICY, FixedKeys(issuer_jwks()), ManualClock(), cache_max=3)
    for turn in (1, 2):
        good = token(body=claims(jti=f"token-{turn}"))
        await judge.verify(good)
        await judge.verify(good)
        with pytest.raises(Unauthenticated):
            await judge.verify(token(header(kid="nobody's")))
        stats = judge.stats()
        assert (stats.hits, stats.verified, stats.refused, stats.remembered) == (turn,) * 4


MEMBERS = ("jku", "jwk", "x5u", "x5c", "crit", "b64", "cty", "enc", "zip", "epk", "p2s", "p2c")


@pytest.mark.parametrize("name", MEMBERS)
async def test_no_header_member_changes_what_the_bytes_mean(name: str) -> None:
    """Each of them alone is enough, whatever its value."""
    judge = TokenVerifier(POLICY, FixedKeys(issuer_jwks()), ManualClock())

    with pytest.raises(Unauthenticated) as refused:
        await judge.verify(token(header(**{name: ""})))

    cause = refused.value.__cause__
    assert isinstance(cause, TokenRefused)
    assert (cause.reason, str(cause)) == ("header", f"the header has ['{name}']")


@pytest.mark.parametrize("lifetime_s", [1, 60])
def test_a_signer_holds_its_bounds(lifetime_s: int) -> None:
    """A second, and as long as it was made for."""
    signer = TokenSigner(KEY, issuer=ISSUER, audience=AUDIENCE, max_lifetime_s=60)

    assert signer.sign("ada", (), now=NOW_S, lifetime_s=lifetime_s, token_id="t")
    for wrong in (0, 61):
        with pytest.raises(ValueError, match=r"lifetime_s must be 1\.\.60"):
            signer.sign("ada", (), now=NOW_S, lifetime_s=wrong, token_id="t")


def test_what_a_challenge_says() -> None:
    """To the byte: RFC 6750 wants no error where there was no token."""
    told: list[tuple[Unauthenticated | Forbidden, str]] = [
        (token_missing(), 'Bearer realm="api"'),
        (token_missing("shop"), 'Bearer realm="shop"'),
        (
            token_invalid("shop"),
            'Bearer realm="shop", error="invalid_token", '
            'error_description="the token is invalid or has expired"',
        ),
        (
            scope_missing("a:b"),
            'Bearer realm="api", error="insufficient_scope", scope="a:b"',
        ),
        (
            scope_missing("a:b", "shop"),
            'Bearer realm="shop", error="insufficient_scope", scope="a:b"',
        ),
    ]

    for error, challenge in told:
        assert error.headers == {"WWW-Authenticate": challenge}
    assert [error.status for error, _ in told] == [401, 401, 401, 403, 403]
    assert str(scope_missing("a:b")) == "this needs the scope a:b"


def test_what_a_header_may_quote() -> None:
    """Printable ASCII, but for the marks that end a quotation or escape in it."""
    for code in range(0x110):
        fits = 0x20 <= code < 0x7F and chr(code) not in '"\\'
        assert is_quotable(f"a{chr(code)}b") is fits


def test_why_a_token_was_refused_is_a_text_and_a_label() -> None:
    """The text is for logs, the label for a metric."""
    refused = TokenRefused("kid", "kid is missing")

    assert (str(refused), refused.reason) == ("kid is missing", "kid")


@pytest.mark.parametrize(
    ("parameters", "fits"),
    [
        *(("ln=1,r=1,p=1", True), ("ln=0,r=1,p=1", False)),
        *(("ln=4,r=8,p=1", True), ("ln=4,r=9,p=1", False), ("ln=4,r=0,p=1", False)),
        *(("ln=4,r=1,p=16", True), ("ln=4,r=1,p=17", False), ("ln=4,r=1,p=0", False)),
    ],
)
def test_a_stored_cost_holds_its_bounds(parameters: str, fits: bool) -> None:
    """Whatever may be counted out is; the rest is refused before any work."""
    ln, r, p = (int(part.partition("=")[2]) for part in parameters.split(","))
    digest = b"\0" * 32
    if ln and r and p:
        digest = hashlib.scrypt(b"pw", salt=SALT, n=1 << ln, r=r, p=p, maxmem=2**28, dklen=32)

    assert password_matches("pw", f"$scrypt${parameters}${b64(SALT)}${b64(digest)}") is fits


@pytest.mark.parametrize("size", [16, 64])
def test_a_salt_at_its_bounds(size: int) -> None:
    """It can be read back from what is stored, and the password matches."""
    stored = hash_password("pw", bytes(range(size)))

    assert password_matches("pw", stored)
    assert not password_matches("Pw", stored)
    assert not is_outdated(stored)


@pytest.mark.parametrize("password", ["x", "x" * 1024, "\u00e9" * 512])
def test_a_password_at_its_bounds(password: str) -> None:
    """One byte, and 1024 of them."""
    assert password_matches(password, cheap(password.encode()))
    assert not password_matches(password + "x", cheap((password + "x").encode())) or (
        len((password + "x").encode()) <= 1024
    )
