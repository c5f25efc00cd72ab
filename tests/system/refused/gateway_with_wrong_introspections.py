# error: Gateway(tokens=…): 2 Introspections, and an opaque token does not say whose it is; keep one
# error: Gateway(tokens=Introspection(…)): url='http://issuer.example/introspect'; write `https://…`:
#   the client's secret and tokens of callers go there
# error: Gateway(tokens=Introspection(…)): client_id is empty; name the client as which the gateway
#   asks
# error: Gateway(tokens=Introspection(…)): cache_s=7200; write 0..3600 seconds
# error: Gateway(tokens=Introspection(…)): refused_cache_s=-1; write 0..60 seconds
# error: Gateway(tokens=Introspection(…)): required='sub'; write a tuple, ('sub',)
# error: Gateway(tokens=Introspection(…)): url has a user in it; write `client_id=…`, and set the
#   secret
# error: Gateway(tokens=Introspection(…)): audience is empty; name it, or write None to leave it to
#   the issuer
# error: Gateway(tokens=Introspection(…)): issuer is pinned and cannot be empty; name it
# error: Gateway(tokens=…): 2 of them are for the issuer 'https://b', and `iss` chooses one; merge
#   them, `audience=(…, …)`, or remove one

from typing import Any

from holdfast import Gateway, Introspection, Service, System, Tokens

WRONG: dict[str, Any] = {"cache_s": 7200, "refused_cache_s": -1, "required": "sub"}

system = System(
    "shop",
    [Service("users")],
    gateway=Gateway(
        tokens=(
            Tokens("https://b", "shop", "https://b/keys"),
            Introspection(
                "https://b", None, "http://issuer.example/introspect", "", jwts=True, **WRONG
            ),
            Introspection(("a", ""), "", "https://me:secret@issuer.example/introspect", "me"),
        )
    ),
)
