# error: Attempts(of='nickname') names no text of the body that is always there
# error: Attempts(of='name') names no text of the body that is always there
# error: Attempts(of='age') names no text of the body that is always there
# error: Attempts(of='name') names no text of the body that is always there; declare `name: str` in
#   the body's Model, without a default
# error: Attempts(per_account=Rate(per_s=0, burst=1)): nothing could pass; write `Rate(per_s=…,
#   burst=…)` with more than 0, or None for no limit

from holdfast import Attempts, Gateway, Model, Rate, Service, System, Tokens

service = Service("users")


class Person(Model):
    email: str
    age: int
    name: str = "nobody"


@service.post("/v1/a", attempts=Attempts(of="nickname"))
async def a(body: Person) -> None: ...


@service.post("/v1/b", attempts=Attempts(of="name"))
async def b(body: Person) -> None: ...


@service.post("/v1/c", attempts=Attempts(of="age"))
async def c(body: Person) -> None: ...


@service.post("/v1/d", attempts=Attempts(of="name"))
async def d() -> None: ...


@service.post("/v1/e", attempts=Attempts(of="email", per_account=Rate(per_s=0, burst=1)))
async def e(body: Person) -> None: ...


system = System(
    "shop",
    [service],
    gateway=Gateway(tokens=Tokens(issuer="users", audience="shop", keys="https://users/keys")),
)
