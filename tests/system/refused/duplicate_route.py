# error: GET /v1/orders/{name} is served twice: orders: GET /v1/orders/{id} (

from holdfast import Gateway, Service, System

orders = Service("orders")
search = Service("search")


@orders.get("/v1/orders/{id}", public=True)
async def show(id: int) -> int:
    return id


@search.get("/v1/orders/{name}", public=True)
async def find(name: str) -> str:
    return name


@search.post("/v1/orders/{name}", public=True)
async def another_method_is_another_route(name: str) -> str:
    return name


system = System("shop", [orders, search], gateway=Gateway())
