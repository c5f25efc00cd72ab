# error: External('Card Processor'): a name is
# error: External('bank'): url='bank.example'; write `https://host` or `https://host:port`
# error: External('post'): key_life_s=0; without keys write `idempotent=False`
# error: payments: GET /v1/fees reaches tax; add it to `reaches=[…]` of Service('payments')
# error: payments: POST /v1/pay has an effect on bank from a route, which nobody would finish after
#   a crash; move it into a command's handler
# error: payments: get_fee has an effect on bank from a query

from holdfast import External, Outside, Query, Service, System

processor = External("Card Processor", url="https://processor.example")
bank = External("bank", url="bank.example")
post = External("post", url="https://post.example", key_life_s=0)
tax = External("tax", url="https://tax.example")


class GetFee(Query[int]): ...


payments = Service("payments", reaches=[processor, bank, post])


@payments.get("/v1/fees", public=True)
async def fees(outside: Outside) -> None:
    await outside.get(tax, "/fees")


@payments.post("/v1/pay", public=True)
async def pay(outside: Outside) -> None:
    await outside.request("GET", bank, "/reading/is/fine")
    await outside.post(bank, "/pay")


@payments.handles
async def get_fee(query: GetFee, outside: Outside) -> int:
    await outside.request("DELETE", bank, "/fee")
    return 1


system = System("shop", [payments])
