"""Bearer tokens in HTTP headers (RFC 6750): taking one out, and telling why one is asked for."""

from collections.abc import Sequence

from holdfast.errors import BadRequest, Forbidden, Unauthenticated

DEFAULT_REALM = "api"


def bearer_token(authorization: Sequence[bytes]) -> bytes | None:
    """Return the token in a request's Authorization headers; None if no header offers one.

    Args:
        authorization: every value of the header. Two of them are refused, because whoever stood
            in front of us may have judged the other one.
    Raises:
        BadRequest: two headers, or a Bearer header without exactly one token.
    """
    if not authorization:
        return None
    if len(authorization) > 1:
        raise _malformed("more than one Authorization header")
    scheme, _, token = authorization[0].partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    token = token.lstrip(b" ")
    if not token or b" " in token or b"," in token:
        raise _malformed("the Authorization header must be: Bearer <token>")
    return token


def token_missing(realm: str = DEFAULT_REALM) -> Unauthenticated:
    """Return the error for a request without a token; RFC 6750 wants no error code in it."""
    return Unauthenticated("a bearer token is needed", headers=_challenge(realm))


def token_invalid(realm: str = DEFAULT_REALM) -> Unauthenticated:
    """Return the error for a token that was refused.

    It is the same for every reason: which check failed is worth something only to whoever forges
    tokens. The reason is in `__cause__`, for our own logs.
    """
    headers = _challenge(
        realm, error="invalid_token", error_description="the token is invalid or has expired"
    )
    return Unauthenticated("the token is invalid or has expired", headers=headers)


def scope_missing(scope: str, realm: str = DEFAULT_REALM) -> Forbidden:
    """Return the error for a caller whose token does not carry `scope`."""
    headers = _challenge(realm, error="insufficient_scope", scope=scope)
    return Forbidden(f"this needs the scope {scope}", headers=headers)


def is_quotable(text: str) -> bool:
    """Say whether a header may quote the text as it is: printable ASCII without quote marks."""
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def _malformed(detail: str) -> BadRequest:
    return BadRequest(detail, headers=_challenge(DEFAULT_REALM, error="invalid_request"))


def _challenge(realm: str, **parameters: str) -> dict[str, str]:
    quoted = [f'{name}="{value}"' for name, value in {"realm": realm, **parameters}.items()]
    return {"WWW-Authenticate": "Bearer " + ", ".join(quoted)}
