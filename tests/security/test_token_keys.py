"""Which published keys may verify tokens, and which sets are refused."""

import json
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from holdfast.errors import BadAnswer
from holdfast.security import read_jwks

from .forge import KIDS, b64, b64_int, jwk_id, private_key, public_jwk

ED = public_jwk(private_key("EdDSA"), "ed")
EC = public_jwk(private_key("ES256"), "ec")
RS = public_jwk(private_key("RS256"), "rs")


def test_a_published_set_is_read() -> None:
    """Each kind of key gets the one algorithm that it stands for, from bytes or a mapping."""
    jwks = {"keys": [{**ED, "use": "sig", "alg": "EdDSA", "key_ops": ["verify"]}, EC, RS]}

    read = read_jwks(json.dumps(jwks).encode())

    assert {key.algorithm: kid for kid, (key,) in read.keys.items()} == KIDS
    assert read.left_out == ()
    assert read.keys == read_jwks(jwks).keys


def test_the_newer_name_of_eddsa_is_known() -> None:
    """A key may say Ed25519, as RFC 9864 calls it."""
    assert read_jwks({"keys": [{**ED, "alg": "Ed25519"}]}).keys["ed"][0].algorithm == "EdDSA"


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "symmetric": ({"kty": "oct", "kid": "x", "k": "c2VjcmV0"}, "secret material"),
    "symmetric, empty": ({"kty": "oct", "kid": "x"}, "is not taken"),
    "private Ed25519": ({**ED, "d": b64(b"\x01" * 32)}, "secret material"),
    "private P-256": ({**EC, "d": b64(b"\x01" * 32)}, "secret material"),
    "private RSA": ({**RS, "p": "AQ", "q": "AQ"}, "secret material"),
    "for encryption": ({**RS, "use": "enc"}, "use is not sig"),
    "for signing only": ({**RS, "key_ops": ["sign"]}, "do not have verify"),
    "key_ops as a text": ({**RS, "key_ops": "verify"}, "do not have verify"),
    "without kid": ({**ED, "kid": None}, "has no kid"),
    "with an empty kid": ({**ED, "kid": ""}, "has no kid"),
    "with a number as kid": ({**ED, "kid": 1}, "has no kid"),
    "RSA of 1024 bits": (public_jwk(private_key("weak RS256"), "x"), "1024 bits"),
    "RSA of 9000 bits": ({**RS, "n": b64_int(2**9000 - 1)}, "9000 bits"),
    "RSA with exponent 1": ({**RS, "e": "AQ"}, ""),
    "RSA with an even exponent": ({**RS, "e": "AQAA"}, ""),
    "RSA with a long exponent": ({**RS, "e": b64_int(2**40 + 1)}, "exponent is longer"),
    "RSA without n": ({**RS, "n": None}, "n is missing"),
    "RSA with padding in n": ({**RS, "n": RS["n"] + "="}, "not base64url"),
    "RSA for another algorithm": ({**RS, "alg": "PS256"}, "alg is not RS256"),
    "RSA for encryption by alg": ({**RS, "alg": "RSA-OAEP"}, "alg is not RS256"),
    "RSA for HMAC": ({**RS, "alg": "HS256"}, "alg is not RS256"),
    "P-384": ({**EC, "crv": "P-384"}, "is not taken"),
    "P-256 off the curve": ({**EC, "y": b64(b"\x01" * 32)}, ""),
    "P-256 with short x": ({**EC, "x": b64(b"\x01" * 31), "y": b64(b"\x01" * 33)}, "32 bytes"),
    "P-256 at infinity": ({**EC, "x": "", "y": ""}, ""),
    "Ed448": ({**ED, "crv": "Ed448"}, "is not taken"),
    "X25519": ({**ED, "crv": "X25519"}, "is not taken"),
    "Ed25519 of 31 bytes": ({**ED, "x": b64(b"\x01" * 31)}, ""),
    "Ed25519 with x as a number": ({**ED, "x": 1}, "x is missing"),
    "Ed25519 beyond ASCII": ({**ED, "x": "\u00e4"}, "not base64url"),
    "post-quantum": ({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "x"}, "is not taken"),
    "kty as a list": ({**ED, "kty": ["OKP"]}, "is not taken"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_key_is_left_out(name: str) -> None:
    """It verifies nothing, the others of its set still do, and a line says why."""
    jwk, reason = UNUSABLE[name]
    good = {**ED, "kid": "good"}

    read = read_jwks({"keys": [jwk, good]})

    assert list(read.keys) == ["good"]
    assert len(read.left_out) == 1
    assert reason in read.left_out[0]


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (b"", "Expecting value"),
        (b"[]", "not a JSON object"),
        (b"\xff", "can't decode"),
        (b"{}", "no list of keys"),
        ({"keys": {}}, "no list of keys"),
        ({"keys": []}, "no usable key"),
        ({"keys": [1]}, "no usable key"),
        ({"keys": [{**ED, "use": "enc"}]}, "no usable key.*use is not sig"),
        ({"keys": [{**ED, "kid": str(n)} for n in range(101)]}, "more than 100 keys"),
        (b" " * 262_145, "more than 262144 bytes"),
        (b'{"keys": [], "keys": []}', "a member twice"),
        (b"[" * 100_000, "nested too deeply"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_unusable_set_is_refused(document: Any, complaint: str) -> None:
    """A set that is ambiguous, too large or empty is an answer that cannot be used."""
    with pytest.raises(BadAnswer, match=complaint):
        read_jwks(document)


@pytest.mark.parametrize(
    ("other", "algorithms"),
    [
        ({**RS, "use": "enc", "kid": "ed"}, ["EdDSA"]),
        ({**RS, "alg": "RSA-OAEP", "kid": "ed"}, ["EdDSA"]),
        ({**EC, "key_ops": ["deriveBits"], "kid": "ed"}, ["EdDSA"]),
        ({"kty": "oct", "kid": "ed", "k": "AA"}, ["EdDSA"]),
        ({"kty": "AKP", "alg": "ML-DSA-44", "kid": "ed"}, ["EdDSA"]),
        (1, ["EdDSA"]),
        (None, ["EdDSA"]),
        ([ED], ["EdDSA"]),
        ({**ED}, ["EdDSA"]),
        ({**EC, "kid": "ed"}, ["EdDSA", "ES256"]),
        (public_jwk(private_key("EdDSA", 5), "ed"), ["EdDSA", "EdDSA"]),
    ],
    ids=jwk_id,
)
def test_a_name_may_stand_for_several_keys(other: object, algorithms: list[str]) -> None:
    """Only those that may sign count, in either order; the same key twice is one key."""
    for keys in ([ED, other], [other, ED]):
        read = read_jwks({"keys": keys})

        assert sorted(key.algorithm for key in read.keys["ed"]) == sorted(algorithms)
        assert len(read.left_out) + len(algorithms) == 2 - (other == ED)


def test_keys_without_a_name_are_kept_where_that_is_allowed() -> None:
    """They stand under no name; one whose name is empty or no text is still left out."""
    nameless = {name: value for name, value in ED.items() if name != "kid"}

    read = read_jwks({"keys": [nameless, {**EC, "kid": ""}, {**EC, "kid": 1}]}, kid_required=False)

    assert [key.algorithm for key in read.keys[""]] == ["EdDSA"]
    assert len(read.left_out) == 2


def test_a_hundred_keys_are_allowed() -> None:
    """The limit itself is still good."""
    assert len(read_jwks({"keys": [{**ED, "kid": str(n)} for n in range(100)]}).keys) == 100


def test_a_key_shows_no_numbers() -> None:
    """The text of a key names it and does not fill the logs."""
    key = read_jwks({"keys": [RS]}).keys["rs"][0]

    assert repr(key).startswith("VerifyingKey(kid='rs', algorithm='RS256', thumbprint=")
    assert isinstance(key.public, RSAKey)
    assert len(repr(key)) < 150
