"""What we sign is what we and others verify, and secrets stay where they are."""

import json
import warnings
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey

from holdfast.security import (
    Claims,
    FixedKeys,
    SigningKey,
    TokenSigner,
    TokenVerifier,
    public_jwks,
    read_jwks,
)

from .forge import AUDIENCE, ISSUER, NOW_S, POLICY, ManualClock, b64

KEY = SigningKey(bytes(range(32)))
SIGNER = TokenSigner(KEY, issuer=ISSUER, audience=AUDIENCE)


def sign(signer: TokenSigner = SIGNER, **changes: Any) -> str:
    arguments = {
        "subject": "user-1",
        "scopes": ["b", "a"],
        "now": NOW_S + 0.7,
        "lifetime_s": 300,
        "token_id": "t",
    }
    return signer.sign(**{**arguments, **changes})


async def test_a_signed_token_is_accepted() -> None:
    """Signer and verifier agree, through the published set."""
    jwks = read_jwks(json.dumps(public_jwks([KEY])).encode())

    found = await TokenVerifier(POLICY, FixedKeys(jwks), ManualClock()).verify(sign())

    assert found == Claims("user-1", frozenset({"a", "b"}), ISSUER, NOW_S + 300, "t", "first-party")


def test_another_library_reads_the_token() -> None:
    """joserfc verifies it and finds every claim that RFC 9068 requires."""
    key = OKPKey.import_key(KEY.public_jwk())  # type: ignore[arg-type]  # its own dict type

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # of EdDSA's newer name
        decoded = jwt.decode(sign(), key, algorithms=["EdDSA"])

    assert decoded.header == {"alg": "EdDSA", "typ": "at+jwt", "kid": key.thumbprint()}
    assert decoded.claims == {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "client_id": "first-party",
        "sub": "user-1",
        "scope": "a b",
        "iat": NOW_S,
        "exp": NOW_S + 300,
        "jti": "t",
    }


def test_keys_are_those_of_the_standard() -> None:
    """Public half, thumbprint and signature are those of RFC 8037, appendix A."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")

    key = SigningKey(seed)

    assert key.public_jwk()["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    assert b64(key.sign(message)) == (
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )


async def test_keys_rotate_without_a_gap() -> None:
    """While both keys are published, tokens of both are good."""
    following = SigningKey(b"\x01" * 32)
    jwks = read_jwks(public_jwks([KEY, following]))
    judge = TokenVerifier(POLICY, FixedKeys(jwks), ManualClock())

    for key in (KEY, following):
        signer = TokenSigner(key, issuer=ISSUER, audience=AUDIENCE)
        assert await judge.verify(sign(signer))


def test_a_key_survives_being_written() -> None:
    """The key that was exported is the key that is imported."""
    again = SigningKey.from_json(KEY.to_json())

    assert again.kid == KEY.kid
    assert again.sign(b"x") == KEY.sign(b"x")


def test_the_secret_is_only_in_the_export() -> None:
    """Neither the public key nor the text of the object gives the seed away."""
    secret = json.loads(KEY.to_json())["d"]

    assert secret not in repr(KEY) + json.dumps(public_jwks([KEY]))
    assert repr(KEY) == f"SigningKey(kid='{KEY.kid}')"


@pytest.mark.parametrize(
    "changes",
    [
        {"d": None},
        {"d": 1},
        {"d": b64(b"\x01" * 31)},
        {"d": b64(b"\x01" * 32)},
        {"d": "\u00e4"},
        {"kty": "EC"},
        {"crv": "X25519"},
        {"x": None},
    ],
    ids=str,
)
def test_a_damaged_key_is_refused(changes: dict[str, Any]) -> None:
    """A JWK that is not a whole Ed25519 key, or whose halves differ, is not imported."""
    jwk = {**json.loads(KEY.to_json()), **changes}

    with pytest.raises(ValueError, match=r"Ed25519 JWK|public half|32 bytes|base64url"):
        SigningKey.from_json(json.dumps(jwk))


def test_a_seed_has_32_bytes() -> None:
    """A shorter seed would be a weaker key."""
    with pytest.raises(ValueError, match="must be 32 bytes, got 16"):
        SigningKey(b"\x01" * 16)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"lifetime_s": 0}, "lifetime_s must be"),
        ({"lifetime_s": 3601}, "lifetime_s must be"),
        ({"subject": ""}, "must be printable"),
        ({"subject": "a\nb"}, "must be printable"),
        ({"token_id": ""}, "must be printable"),
        ({"scopes": ["a b"]}, "a scope has no spaces"),
        ({"scopes": [""]}, "a scope has no spaces"),
        ({"scopes": ['a"']}, "scope"),
        ({"scopes": "ab cd"}, "scope"),
    ],
    ids=str,
)
def test_what_no_verifier_accepts_is_not_signed(changes: dict[str, Any], complaint: str) -> None:
    """A mistake shows where the token is made, not where it is refused."""
    with pytest.raises(ValueError, match=complaint):
        sign(**changes)


@pytest.mark.parametrize("name", ["issuer", "audience", "client_id"])
def test_a_signer_names_everybody(name: str) -> None:
    """A token without issuer, audience or client would be refused or, worse, fit everywhere."""
    names: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE}

    with pytest.raises(ValueError, match="must not be empty"):
        TokenSigner(KEY, **{**names, name: ""})
