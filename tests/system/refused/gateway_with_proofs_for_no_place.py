# error: Gateway(tokens=…): dpop needs the place that a proof is for; add
#   `Gateway(origins=('https://api.example',))`

from holdfast import Gateway, Service, System, Tokens

system = System(
    "shop",
    [Service("users")],
    gateway=Gateway(tokens=Tokens("https://a", "shop", "https://a/keys", dpop="required")),
)
