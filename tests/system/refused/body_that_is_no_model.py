# error: the body 'new_order' is dict[
# error: Line | None, which nothing fills; annotate it with
# error: it has 2 bodies; join them in one Model
# error: a GET has no body; take what 'filter' holds as parameters of the query

from holdfast import Model, Service, System


class Line:
    """No Model, no dataclass: pydantic does not know it."""


class Filter(Model):
    sku: str


orders = Service("orders")


@orders.post("/a", public=True)
async def a(new_order: dict[str, Line]) -> None: ...


@orders.post("/b", public=True)
async def b(line: Line | None) -> None: ...


@orders.post("/c", public=True)
async def c(one: Filter, two: Filter) -> None: ...


@orders.get("/d", public=True)
async def d(filter: Filter) -> None: ...


system = System("shop", [orders])
