# error: Gateway(tokens=…): typ='id'; write "at+jwt", "JWT", "" (none), or a tuple of them
# error: Gateway(tokens=…): max_lifetime_s=0, so no token is valid; raise it over 0
# error: Gateway(tokens=…): audience_claim names a claim; it cannot be empty
# error: Gateway(tokens=…): issuer is pinned and cannot be empty; name it
# error: Gateway(tokens=…): token_bytes_max=-1, so no token is valid; raise it over 0
# error: Gateway(tokens=…): scope_form='any'; write "text", "list" or "either"
# error: Gateway(tokens=…): claims={'hd': …} is empty, so no token is valid; name a value
# error: Gateway(tokens=…): required='iat'; write a tuple, ('iat',)
# error: Gateway(tokens=…): scope_claims='scp'; write a tuple, ('scp',)

from typing import Any

from holdfast import Gateway, Service, System, Tokens

service = Service("orders")

OPEN: dict[str, Any] = {
    "typ": "id",
    "max_lifetime_s": 0,
    "token_bytes_max": -1,
    "scope_form": "any",
    "audience_claim": "",
    "claims": {"hd": ()},
    "required": "iat",
    "scope_claims": "scp",
}

system = System(
    "shop",
    [service],
    gateway=Gateway(
        tokens=Tokens(issuer=("users", ""), audience="shop", keys="https://users/keys", **OPEN)
    ),
)
