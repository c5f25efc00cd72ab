"""Makes proofs of possession by hand, good and bad, without the code that is to judge them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .forge import NOW_S, PrivateKey, b64, claims, private_key, public_jwk, signed, token

ORIGIN = "https://api.example"
METHOD, PATH = "GET", "/v1/me"
HOLDER = private_key("EdDSA", 51)
"""The key that good tokens are bound to."""


def jwk_of(key: PrivateKey) -> dict[str, Any]:
    """Return a public key as proofs bring it: without a name."""
    return {name: value for name, value in public_jwk(key, "").items() if name != "kid"}


def thumbprint(key: PrivateKey) -> str:
    """Return the name of a key. Source: RFC 7638, section 3."""
    text = json.dumps(jwk_of(key), sort_keys=True, separators=(",", ":"))
    return b64(hashlib.sha256(text.encode()).digest())


def bound(key: PrivateKey = HOLDER, **changes: object) -> str:
    """Return a good token that is bound to a key."""
    return token(body=claims(**{"cnf": {"jkt": thumbprint(key)}, **changes}))


def hash_of(text: str) -> str:
    """Return what a proof calls `ath`."""
    return b64(hashlib.sha256(text.encode()).digest())


def proof(
    text: str,
    head: Mapping[str, object] | None = None,
    body: Mapping[str, object] | None = None,
    *,
    key: PrivateKey = HOLDER,
) -> str:
    """Return a proof for a token; a change to None removes the member."""
    header = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk_of(HOLDER), **(head or {})}
    payload = {
        "jti": "proof-1",
        "htm": METHOD,
        "htu": f"{ORIGIN}{PATH}",
        "iat": NOW_S,
        "ath": hash_of(text),
        **(body or {}),
    }
    return signed(_written(header), _written(payload), key)


def _written(members: Mapping[str, object]) -> str:
    return json.dumps({name: value for name, value in members.items() if value is not None})
