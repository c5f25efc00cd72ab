# error: Gateway(tokens=…): 2 of them are for the issuer 'https://b', and `iss` chooses one; merge
#   them, `audience=(…, …)`, or remove one

from holdfast import Gateway, Service, System, Tokens

KEYS = "https://keys"

system = System(
    "shop",
    [Service("users")],
    gateway=Gateway(
        tokens=(
            Tokens("https://a", "shop", KEYS),
            Tokens(("https://b", "https://b/", "https://b"), "shop", KEYS),
            Tokens("https://b", "staff", KEYS),
        )
    ),
)
