# error: orders: provider silent (
# error: orders: provider again (
# error: it needs what needs itself; break the circle
# error: it needs what needs itself; break the circle
# error: parameter 'tx': a provider takes Settings and what other providers make

from holdfast import Service, System, Tx


class Mailer: ...


class Chicken: ...


class Egg: ...


class Pool: ...


orders = Service("orders")


@orders.provides
def silent(): ...


@orders.provides
def mailer() -> Mailer:
    return Mailer()


@orders.provides
def again() -> Mailer:
    return Mailer()


@orders.provides
def chicken(egg: Egg) -> Chicken:
    return Chicken()


@orders.provides
def egg(chicken: Chicken) -> Egg:
    return Egg()


@orders.provides
async def pool(tx: Tx) -> Pool:
    return Pool()


system = System("shop", [orders])
