# error: a GET does not write; take `read: Read` instead of Tx
# error: parameter 'caller': only a route knows its Caller
# error: a query changes nothing; take `read: Read` instead of Tx
# error: prices: GetTax → GetFee → GetTax: each asks the next and none ever answers; break the
#   circle

from holdfast import Caller, Outside, Query, Service, System, Tx


class GetPrice(Query[int]): ...


class GetTax(Query[int]): ...


class GetFee(Query[int]): ...


prices = Service("prices", calls=[GetTax, GetFee])


@prices.handles
async def get_price(query: GetPrice, tx: Tx, caller: Caller) -> int:
    return 1


@prices.get("/v1/prices", public=True)
async def show_prices(tx: Tx) -> int:
    return 1


@prices.handles
async def get_tax(query: GetTax, outside: Outside) -> int:
    return await outside.ask(GetFee())


@prices.handles
async def get_fee(query: GetFee, outside: Outside) -> int:
    return await outside.ask(GetTax())


system = System("shop", [prices])
