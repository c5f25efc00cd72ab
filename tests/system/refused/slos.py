# error: System(slo=…): Slo(availability=99.9): with less than 0.94 nothing could alert
# error: System(slo=…): Slo(settled_s=inf): that is no time to settle in; write 0.01..2592000
# error: Service('orders', slo=…): Slo(availability=0.9): with less than 0.94 nothing could alert
# error: Service('orders', slo=…): Slo(latency_share='most'): with less than 0.94
# error: Service('orders', slo=…): Slo(share=1.0): with less than 0.94 nothing could alert, with
#   more than 0.99999 there is no budget; write a share between, 0.999 for 99.9 %
# error: slos.py:24): Slo(latency_ms=0): that is no time to answer in; write 1..3600000
# error: slos.py:28): Slo(settled_s=nan): that is no time to settle in
# error: slos.py:32): it is 0.999, which is no Slo; write `Slo(availability=0.999, …)`

from typing import Any

from holdfast import Model, Saga, Service, Slo, System

MOST: Any = "most"
NUMBER: Any = 0.999

orders = Service("orders", slo=Slo(availability=0.9, latency_share=MOST, share=1.0))


class Order(Model): ...


@orders.get("/v1/orders", public=True, slo=Slo(latency_ms=0))
async def list_orders() -> None: ...


@orders.saga(slo=Slo(settled_s=float("nan")))
async def checkout(saga: Saga, order: Order) -> None: ...


@orders.saga(slo=NUMBER)
async def chase(saga: Saga, order: Order) -> None: ...


system = System("shop", [orders], slo=Slo(availability=99.9, settled_s=float("inf")))
