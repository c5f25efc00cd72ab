"""The shop, with rate limits that let a single client put the whole load on it."""

from dataclasses import replace

from holdfast import Rate
from shop.system import shop

_ENOUGH = Rate(per_s=1_000_000, burst=1_000_000)
system = replace(shop, gateway=replace(shop.gateway, per_caller=_ENOUGH, per_address=_ENOUGH))
