# error: Gateway(tokens=…): subject_prefix='' is how 'staff:' begins, so that one issuer can name a
#   subject of the other; give each its own, such as "staff:" and "readers:"

from holdfast import Gateway, Service, System, Tokens

KEYS = "https://keys"

system = System(
    "shop",
    [Service("users")],
    gateway=Gateway(
        tokens=(
            Tokens("https://a", "shop", KEYS),
            Tokens("https://b", "staff", KEYS, subject_prefix="staff:"),
        )
    ),
)
