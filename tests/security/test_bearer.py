"""Which token a request brings."""

import pytest

from holdfast.errors import BadRequest
from holdfast.security import bearer_token


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([b"Bearer abc.def.ghi"], b"abc.def.ghi"),
        ([b"bearer abc"], b"abc"),
        ([b"BEARER   abc"], b"abc"),
        ([b"Basic dXNlcjpwYXNz"], None),
        ([b""], None),
        ([b"Bearerabc"], None),
    ],
)
def test_a_token_is_taken_from_the_header(headers: list[bytes], expected: bytes | None) -> None:
    """The scheme is compared without case; other schemes offer no token."""
    assert bearer_token(headers) == expected


@pytest.mark.parametrize(
    "headers",
    [
        [b"Bearer a", b"Bearer b"],
        [b"Bearer a", b"Basic b"],
        [b"Bearer"],
        [b"Bearer "],
        [b"Bearer a b"],
        [b"Bearer a,Bearer b"],
    ],
)
def test_an_ambiguous_header_is_refused(headers: list[bytes]) -> None:
    """Two tokens, or none after the scheme, make the request malformed."""
    with pytest.raises(BadRequest, match="Authorization header") as caught:
        bearer_token(headers)

    assert 'error="invalid_request"' in caught.value.headers["WWW-Authenticate"]
