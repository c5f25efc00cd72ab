"""The tokens of the benchmarks: one key, known to the servers and to the load."""

import json
import time

from holdfast import Query, Tokens
from holdfast.security import SigningKey, TokenSigner, public_jwks

ISSUER, AUDIENCE, SCOPE = "https://bench.example", "bench", "orders:write"
_KEY = SigningKey(bytes(range(32)))


class GetKeys(Query[str]):
    """Ask for the public keys as JSON text."""


TOKENS = Tokens(issuer=ISSUER, audience=AUDIENCE, keys=GetKeys)


def jwks() -> str:
    """Return the public keys as JSON text."""
    return json.dumps(public_jwks([_KEY]))


def token() -> str:
    """Return a token that is good for an hour."""
    signer = TokenSigner(_KEY, issuer=ISSUER, audience=AUDIENCE)
    return signer.sign("customer-1", [SCOPE], now=time.time(), lifetime_s=3600, token_id="bench-1")
