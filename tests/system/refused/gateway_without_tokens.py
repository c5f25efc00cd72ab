# error: it needs a token and the Gateway accepts none; add `Gateway(tokens=Tokens(…))` or
#   `public=True`
# error: orders: mount /admin needs a token and the Gateway accepts none
# error: Gateway(deadline_s=0): nothing could pass; raise it over 0
# error: Gateway(body_bytes_max=-1): nothing could pass
# error: Gateway(requests_max=0): nothing could pass
# error: Gateway(connections_per_address=0): nobody could connect
# error: Gateway(per_caller=Rate(per_s=0, burst=1)): nothing could pass; write `Rate(per_s=…,
#   burst=…)`
# error: Gateway(per_address=Rate(per_s=1, burst=0)): nothing could pass
# error: Gateway(trusted_proxies=…): 'proxy' does not appear to be an IPv4 or IPv6 network; write
#   an address

from holdfast import Gateway, Rate, Service, System

orders = Service("orders")


@orders.get("/v1/orders")
async def show() -> None: ...


orders.mount("/admin", object())

system = System(
    "shop",
    [orders],
    gateway=Gateway(
        deadline_s=0,
        body_bytes_max=-1,
        requests_max=0,
        connections_per_address=0,
        per_caller=Rate(per_s=0, burst=1),
        per_address=Rate(per_s=1, burst=0),
        trusted_proxies=("10.0.0.0/8", "::1", "proxy"),
    ),
)
