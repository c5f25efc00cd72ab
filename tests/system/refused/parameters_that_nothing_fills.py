# error: parameter 'mailer' is annotated with Mailer, which nothing fills; annotate it with Tx
# error: parameter 'retries' is annotated with int, which nothing fills
# error: parameter 'anything' is annotated with nothing, which nothing fills
# error: parameter 'args' takes anything, and nothing fills it; name each parameter (a decorator
#   keeps them with functools.wraps)
# error: it takes 0 messages; a handler takes exactly one command, undo, query or event
# error: parameter 'command' is filled by its name; remove the `/` behind it
# error: parameter 'model': nobody sends a Model; derive it from Command, Undo, Query or Event
# error: parameter 'saga': only a saga takes Saga; start one with `tx.start(saga, input)`
# error: it takes 2 messages; a handler takes exactly one

from holdfast import Command, Model, Saga, Service, System


class Mailer: ...


class Some(Model): ...


class A(Command[None]): ...


class B(Command[None]): ...


class C(Command[None]): ...


orders = Service("orders")


@orders.get("/v1/mail", public=True)
async def route(mailer: Mailer) -> None: ...


@orders.handles
async def unknown(command: A, retries: int = 3, anything=None) -> None: ...


@orders.handles
async def hidden(*args: object) -> None: ...


@orders.handles
async def by_place(command: B, /) -> None: ...


@orders.handles
async def two(first: C, second: C, model: Some, saga: Saga) -> None: ...


system = System("shop", [orders])
