# error: Gateway(tokens=…): nobody handles GetKeys, which brings the keys; handle it in the service
#   that signs the tokens
# error: Gateway(tokens=…): GetKeys brings the keys as text; write `Query[str]`
# error: Gateway(tokens=…): GetKeys is asked as it is; give its fields defaults
# error: Gateway(tokens=…): algorithms is empty, so no token is valid; name one
# error: Gateway(tokens=…): leeway_s=3600; write 0..60 seconds
# error: Gateway(tokens=…): issuer is pinned and cannot be empty; name it

from holdfast import Gateway, Query, Service, System, Tokens


class GetKeys(Query[dict[str, str]]):
    kind: str


system = System(
    "shop",
    [Service("users")],
    gateway=Gateway(
        tokens=Tokens(issuer="", audience="shop", keys=GetKeys, algorithms=(), leeway_s=3600)
    ),
)
