# error: the body 'new_order' is dict, not a Model; declare `class NewOrder(Model)` with its fields
# error: the body 'line' is Line, not a Model; declare `class Line(Model)`
# error: it has 2 bodies; join them in one Model
# error: a GET has no body; take what 'filter' holds as parameters of the query

from dataclasses import dataclass

from holdfast import Model, Service, System


@dataclass
class Line:
    sku: str


class Filter(Model):
    sku: str


orders = Service("orders")


@orders.post("/a", public=True)
async def a(new_order: dict) -> None: ...


@orders.post("/b", public=True)
async def b(line: Line) -> None: ...


@orders.post("/c", public=True)
async def c(one: Filter, two: Filter) -> None: ...


@orders.get("/d", public=True)
async def d(filter: Filter) -> None: ...


system = System("shop", [orders])
