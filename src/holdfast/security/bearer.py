"""Bearer tokens in HTTP headers (RFC 6750): taking one out, and telling why one is asked for."""

from collections.abc import Collection, Sequence

from holdfast.errors import BadRequest, Forbidden, Unauthenticated

DEFAULT_REALM = "api"
_NAME = "WWW-Authenticate"
_ALGORITHMS = "EdDSA ES256 RS256"


def bearer_token(authorization: Sequence[bytes]) -> bytes | None:
    """Return the token in a request's Authorization headers; None if no header offers one.

    Raises:
        BadRequest: see `token_sent`.
    """
    sent = token_sent(authorization)
    return None if sent is None else sent[1]


def token_sent(
    authorization: Sequence[bytes], schemes: Collection[bytes] = (b"bearer",)
) -> tuple[bytes, bytes] | None:
    """Return the scheme, in lower case, and the token of a request; None if it offers none.

    Args:
        authorization: every value of the header. Two of them are refused, because whoever stood
            in front of us may have judged the other one.
        schemes: those that are known, `bearer` and `dpop`; another one is no offer.
    Raises:
        BadRequest: two headers, or one without exactly one token.
    """
    if not authorization:
        return None
    if len(authorization) > 1:
        raise _malformed("more than one Authorization header")
    scheme, _, token = authorization[0].partition(b" ")
    scheme = scheme.lower()
    if scheme not in schemes:
        return None
    token = token.lstrip(b" ")
    if not token or b" " in token or b"," in token:
        raise _malformed("the Authorization header must be: Bearer <token>")
    return scheme, token


def token_missing(realm: str = DEFAULT_REALM, *, proofs: bool = False) -> Unauthenticated:
    """Return the error for a request without a token; RFC 6750 wants no error code in it.

    Args:
        proofs: tokens that are bound to a key are taken, too.
    """
    headers = _challenge(realm)
    if proofs:
        headers["WWW-Authenticate"] += ", " + _challenge(realm, "DPoP", algs=_ALGORITHMS)[_NAME]
    return Unauthenticated("a bearer token is needed", headers=headers)


def proof_invalid(realm: str = DEFAULT_REALM) -> Unauthenticated:
    """Return the error for a token that came without a good proof of its key (RFC 9449, 7.1).

    The reason is in `__cause__`, as that of `token_invalid`.
    """
    headers = _challenge(realm, "DPoP", error="invalid_dpop_proof", algs=_ALGORITHMS)
    return Unauthenticated("the token needs a fresh proof of its key", headers=headers)


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


def _challenge(realm: str, scheme: str = "Bearer", **parameters: str) -> dict[str, str]:
    quoted = [f'{name}="{value}"' for name, value in {"realm": realm, **parameters}.items()]
    return {_NAME: f"{scheme} " + ", ".join(quoted)}
