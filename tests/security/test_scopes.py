"""Who may go on, who is asked for a token, and how the answer says so."""

import pytest

from holdfast.errors import BadRequest, Forbidden, Unauthenticated
from holdfast.security import Claims, bearer_token, require

CALLER = Claims("user-1", frozenset({"orders:read"}), "https://issuer.example", 1, "t")


@pytest.mark.parametrize("scope", [None, "orders:read"])
def test_a_caller_with_the_scope_goes_on(scope: str | None) -> None:
    """Without a scope it is enough to be somebody."""
    require(CALLER, scope)


@pytest.mark.parametrize("scope", [None, "orders:read"])
def test_nobody_is_asked_for_a_token(scope: str | None) -> None:
    """A request without a token gets no error code, as RFC 6750, section 3.1 has it."""
    with pytest.raises(Unauthenticated, match="token is needed") as caught:
        require(None, scope, realm="shop")

    assert caught.value.headers == {"WWW-Authenticate": 'Bearer realm="shop"'}


@pytest.mark.parametrize("scope", ["orders:write", "orders", "orders:read ", "", "ORDERS:READ"])
def test_a_caller_without_the_scope_is_forbidden(scope: str) -> None:
    """Scopes are compared whole; the answer names the one that is missing."""
    with pytest.raises(Forbidden, match="needs the scope") as caught:
        require(CALLER, scope)

    assert caught.value.headers == {
        "WWW-Authenticate": f'Bearer realm="api", error="insufficient_scope", scope="{scope}"'
    }


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
