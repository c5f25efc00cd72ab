# error: Gateway(tokens=…): keys='users/keys'; write the URL of a JWKS, `https://…`, or a query

from holdfast import Gateway, Service, System, Tokens

system = System(
    "shop",
    [Service("users")],
    gateway=Gateway(tokens=Tokens(issuer="users", audience="shop", keys="users/keys")),
)
