"""A proof of possession is read strictly: whatever is sent, it is good or it is refused."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.security import (
    PROOF_LEEWAY_S,
    PROOF_LIFE_S,
    TokenRefused,
    proof_url,
    read_proof,
)
from holdfast.security.proofs import JTI_MAX, PROOF_BYTES_MAX

from .forge import NOW_S, b64
from .proofs import HOLDER, METHOD, ORIGIN, PATH, bound, jwk_of, proof, thumbprint

TOKEN, URL = bound(), f"{ORIGIN}{PATH}"
ODD: list[Any] = [None, True, 0, -1, 1.5, "", "x", "A" * 43, "\ud800", "ä", [], ["verify"], {}]


def read(sent: bytes) -> str:
    """Read a proof for the usual request."""
    return read_proof(
        sent,
        method=METHOD,
        urls=[URL],
        token=TOKEN.encode(),
        bound_to=thumbprint(HOLDER),
        now_s=NOW_S,
    )


@given(st.binary(max_size=300))
def test_bytes_are_no_proof(sent: bytes) -> None:
    """They are refused, and nothing else is raised."""
    with pytest.raises(TokenRefused, match="the proof: "):
        read(sent)


@given(
    st.sampled_from(["kty", "crv", "x", "y", "n", "e", "use", "key_ops", "alg", "kid", "d"]),
    st.sampled_from(ODD),
    st.sampled_from(["OKP", "EC", "RSA", "oct"]),
)
def test_an_odd_key_is_no_way_in(member: str, value: Any, kty: str) -> None:
    """Its members may be anything: it is the key of the token, or it is refused."""
    key = {**jwk_of(HOLDER), "kty": kty, member: value}
    sent = proof(TOKEN, {"jwk": key}).encode()

    with suppress(TokenRefused):
        read(sent)
        assert (key["kty"], key["x"]) == ("OKP", jwk_of(HOLDER)["x"])


@given(st.sampled_from(["htm", "htu", "iat", "ath", "jti"]), st.sampled_from(ODD))
def test_an_odd_claim_is_no_way_in(member: str, value: Any) -> None:
    """Only a name may be another text."""
    sent = proof(TOKEN, None, {member: value}).encode()

    if member == "jti" and isinstance(value, str) and value:
        assert read(sent)
    else:
        with pytest.raises(TokenRefused, match="the proof: "):
            read(sent)


def test_a_proof_holds_its_length() -> None:
    """To the byte, whatever fills it."""
    pads = [(head, body) for head in range(2) for body in range(2_700, 2_750)]
    proofs = [proof(TOKEN, {"x": "x" * head}, {"x": "x" * body}) for head, body in pads]
    by_length = {len(one): one.encode() for one in proofs}

    assert read(by_length[PROOF_BYTES_MAX])
    with pytest.raises(TokenRefused, match=f"longer than {PROOF_BYTES_MAX} bytes"):
        read(by_length[PROOF_BYTES_MAX + 1])


@pytest.mark.parametrize(
    ("member", "good", "bad"),
    [
        ("jti", "j" * JTI_MAX, "j" * (JTI_MAX + 1)),
        ("iat", NOW_S - PROOF_LIFE_S - PROOF_LEEWAY_S, NOW_S - PROOF_LIFE_S - PROOF_LEEWAY_S - 1),
        ("iat", NOW_S + PROOF_LEEWAY_S, NOW_S + PROOF_LEEWAY_S + 1),
    ],
)
def test_a_proof_holds_its_bounds(member: str, good: Any, bad: Any) -> None:
    """The longest name, the oldest time and the newest; a step further it is none."""
    assert read(proof(TOKEN, None, {member: good}).encode())
    with pytest.raises(TokenRefused, match=f"the proof: {member} is not"):
        read(proof(TOKEN, None, {member: bad}).encode())


def test_a_proof_has_one_name_for_each_key_and_name() -> None:
    """The same again is known again; another name, or another key, is another proof."""
    again = [read(proof(TOKEN, None, {"jti": "a", "iat": NOW_S - n}).encode()) for n in range(3)]

    assert len(set(again)) == 1
    assert read(proof(TOKEN, None, {"jti": "b"}).encode()) != again[0]


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://api.example", "https://api.example/"),
        ("HTTPS://API.Example:443/a?b#c", "https://api.example/a"),
        ("http://api.example:80/", "http://api.example/"),
        ("https://[2001:db8::7]:8443/%7Ea", "https://[2001:db8::7]:8443/~a"),
        ("https://api.example/a/./b/../c", "https://api.example/a/c"),
        ("https://api.example:443443/", None),
        ("https://api.example/%zz", None),
        ("https://api.example\\@evil.example/", None),
        ("https://me@api.example/", None),
        ("https://@api.example/", None),
        ("ftp://api.example/", None),
        ("//api.example/", None),
        ("https:///a", None),
        ("https://[::1/", None),
        ("", None),
    ],
)
def test_places_are_compared_in_their_normal_form(url: str, normal: str | None) -> None:
    """As RFC 9449 wants it; what no client sends a request to is no place."""
    assert proof_url(url) == normal


def test_a_deep_header_is_refused() -> None:
    """Before it costs a stack."""
    deep = '{"a":' * 300 + "1" + "}" * 300
    with pytest.raises(TokenRefused, match="the proof: "):
        read(f"{b64(deep)}.{b64(json.dumps({}))}.AAAA".encode())
