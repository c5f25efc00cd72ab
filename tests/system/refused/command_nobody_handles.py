# error: Service('orders') calls Charge, which nobody handles; add `@service.handles`
# error: Service('orders') calls GetPrice, which nobody handles; add `@service.handles` with `async
#   def …(query: GetPrice, …)`

from holdfast import Command, Query, Service, System


class Charge(Command[None]): ...


class GetPrice(Query[int]): ...


orders = Service("orders", calls=[Charge, GetPrice])

system = System("shop", [orders])
