"""Proofs of possession (DPoP, RFC 9449): who sends a bound token shows that he holds its key."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import cast
from urllib.parse import urlsplit

from holdfast.contract.path import normal_path
from holdfast.security._jose import decode_base64url, encode_base64url, read_object
from holdfast.security.acceptance import TokenRefused
from holdfast.security.keys import VerifyingKey, read_key

PROOF_BYTES_MAX = 4096
PROOF_LIFE_S = 60
"""How old a proof may be: a client makes one for each request."""
PROOF_LEEWAY_S = 5
JTI_MAX = 256

# Members that say where another key is, or change what the bytes mean.
_REFUSED_MEMBERS = frozenset({"jku", "x5u", "x5c", "crit", "b64", "cty", "enc", "zip"})
_USUAL_PORTS = {"http": 80, "https": 443}


def read_proof(
    proof: bytes,
    *,
    method: str,
    urls: Collection[str],
    token: bytes,
    bound_to: str,
    now_s: float,
) -> str:
    """Return the name of a proof that is good for this request, by which it is known again.

    Args:
        urls: what the request may be known as to its client, in the form of `proof_url`.
        token: the token that came with it.
        bound_to: the thumbprint of the key that the token is bound to.
        now_s: seconds since 1970.
    Raises:
        TokenRefused: it is no proof, or not for this request, this token or this key.
    Source: RFC 9449, section 4.3; whether it was seen before is up to the caller.
    """
    if len(proof) > PROOF_BYTES_MAX:
        raise _refused(f"longer than {PROOF_BYTES_MAX} bytes")
    try:
        first, second, third = proof.split(b".")
        key = _key_of(first)
        signature = decode_base64url(third)
        payload = read_object(decode_base64url(second))
    except TokenRefused:
        raise
    except ValueError as error:
        raise _refused(f"not a signed proof: {error}") from error
    if key.thumbprint != bound_to:  # before it is used: a key of a stranger's choice costs nothing
        raise _refused("its key is not the one that the token is bound to")
    if not key.matches(proof[: len(first) + 1 + len(second)], signature):
        raise _refused("its signature does not match")
    if payload.get("htm") != method:
        raise _refused(f"htm is not {method}: {_shown(payload.get('htm'))}")
    url = payload.get("htu")
    if not isinstance(url, str) or proof_url(url) not in urls:
        raise _refused(f"htu is not {' or '.join(sorted(urls))}: {_shown(url)}")
    issued_at = payload.get("iat")
    if type(issued_at) is not int or issued_at < 0:  # `type`, because True is an int
        raise _refused(f"iat is not a number of seconds: {_shown(issued_at)}")
    if not -PROOF_LEEWAY_S <= now_s - issued_at <= PROOF_LIFE_S + PROOF_LEEWAY_S:
        raise _refused(f"iat is not within {PROOF_LIFE_S} s: do the clocks agree?")
    if payload.get("ath") != encode_base64url(sha256(token).digest()):
        raise _refused("ath is not the hash of the token")
    name = payload.get("jti")
    if not isinstance(name, str) or not 1 <= len(name) <= JTI_MAX:
        raise _refused(f"jti is not a text of 1..{JTI_MAX} characters")
    known = sha256(f"{bound_to}.{name}".encode("utf-8", "surrogatepass")).digest()
    return encode_base64url(known)


def proof_url(url: str) -> str | None:
    """Return a URL as proofs are compared by: in its normal form, without query and fragment.

    None for one that no client sends a request to.

    Source: RFC 3986, section 6.2; RFC 9449, section 4.3, step 9.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        path = normal_path(parts.path or "/")
    except ValueError:
        return None
    if parts.scheme not in _USUAL_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = host if port in (None, _USUAL_PORTS[parts.scheme]) else f"{host}:{port}"
    return f"{parts.scheme}://{where}{path}"


@lru_cache(maxsize=1_024)  # a client begins all its proofs alike: its key is read once
def _key_of(encoded: bytes) -> VerifyingKey:
    """Return the key that the header of a proof brings.

    Raises:
        TokenRefused: it is not the header of a proof, or its key must not verify anything.
        ValueError: it is not JSON in base64url.
    """
    header = read_object(decode_base64url(encoded))
    if refused := _REFUSED_MEMBERS & header.keys():
        raise _refused(f"the header has {sorted(refused)}")
    typ, algorithm, jwk = header.get("typ"), header.get("alg"), header.get("jwk")
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") != "dpop+jwt":
        raise _refused(f"typ is not dpop+jwt: {_shown(typ)}")
    if not isinstance(jwk, dict):
        raise _refused("it brings no key")
    try:
        key = read_key(cast(Mapping[str, object], jwk), kid_required=False)
    except ValueError as error:
        raise _refused(f"its key: {error}") from error
    if key.algorithm != algorithm:
        raise _refused(f"alg is not that of its key: {_shown(algorithm)}")
    return key


def _refused(detail: str) -> TokenRefused:
    return TokenRefused("proof", f"the proof: {detail}")


def _shown(value: object) -> str:
    return "missing" if value is None else ascii(value)[:100]
