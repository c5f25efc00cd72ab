# error: parameter 'command': a message comes to a handler alone; take a Model of its own
# error: the path has {id} and the function no parameter of that name; add it
# error: it has no return annotation; say what it answers: `-> OrderView`, or `-> None`
# error: it answers Cursor, which is no JSON; answer a Model
# error: a path begins with /; write '/v1/five'
# error: '/v1/{six' has a brace, ? or # that is no part of a `{name}`; remove it
# error: the path has {id} twice; rename one
# error: it is public and asks for the scope 'orders:read'; remove one of the two
# error: it is public, so that nobody is authenticated and `caller` would be None; remove one
# error: it is public, so that nobody is authenticated and `who` would be None; remove one
# error: status_code=302 says that it failed or redirects; write one of 200..299
# error: orders: mount mail: a path begins with /; write '/mail'
# error: orders and orders both mount an app at /admin; change one path

from holdfast import Caller, Command, Service, System


class Place(Command[None]): ...


class Cursor: ...


orders = Service("orders")


@orders.post("/v1/one", public=True)
async def one(command: Place) -> None: ...


@orders.get("/v1/two/{id}", public=True)
async def two() -> None: ...


@orders.get("/v1/three", public=True)
async def three(): ...


@orders.get("/v1/four", public=True)
async def four() -> Cursor: ...


@orders.get("v1/five", public=True)
async def five() -> None: ...


@orders.get("/v1/{six", public=True)
async def six() -> None: ...


@orders.get("/v1/seven/{id}/{id}", public=True)
async def seven(id: int) -> None: ...


@orders.get("/v1/eight", public=True, scope="orders:read")
async def eight() -> None: ...


@orders.get("/v1/eight-a", public=True)
async def eight_a(caller: Caller) -> None: ...


@orders.get("/v1/eight-b", public=True)
async def eight_b(who: Caller | None) -> None: ...


@orders.get("/v1/nine", public=True, status_code=302)
async def nine() -> None: ...


orders.mount("mail", object(), public=True)
orders.mount("/admin", object(), public=True)
orders.mount("/admin/", object(), public=True)

system = System("shop", [orders])
