# error: Gateway(tokens=…): dpop='on'; write "accepted", "required" or None
# error: Gateway(origins=…): 'api.example' is no origin; write scheme and host in lower case, and
#   the port if it is not the usual one: https://api.example
# error: Gateway(origins=…): 'https://api.example/v1' is no origin; write scheme and host in lower
#   case, and the port if it is not the usual one: https://api.example

from typing import Any

from holdfast import Gateway, Service, System, Tokens

WRONG: dict[str, Any] = {"dpop": "on"}

system = System(
    "shop",
    [Service("users")],
    gateway=Gateway(
        tokens=Tokens("https://a", "shop", "https://a/keys", **WRONG),
        origins=("api.example", "https://api.example", "https://api.example/v1"),
    ),
)
