"""What users offers to the others: the keys that its tokens are verified with."""

from holdfast import Query

ISSUER = "https://shop.example"
AUDIENCE = "shop"


class GetSigningKeys(Query[str]):
    """Ask for the public keys of today's access tokens, as a JWKS (RFC 7517) in JSON text."""
