# error: System('My Shop'): a name is 1..40 of a-z, 0-9 and -
# error: two services are named 'orders'; rename one
# error: Service('gateway'): a name is
# error: Service('operator'): all, gateway, migrator, monitoring, nats, operator, postgres,
# error: Service('Big_One'): a name is
# error: External('orders'): a service has this name; rename one
# error: ledger and mail each reach another External('bank'); share one object, or rename one

from holdfast import External, Service, System

bank = External("bank", url="https://bank.example")
other_bank = External("bank", url="https://other.example")

system = System(
    "My Shop",
    [
        Service("orders"),
        Service("orders"),
        Service("gateway"),
        Service("operator"),
        Service("Big_One"),
        Service("ledger", reaches=[bank, External("orders", url="https://orders.example")]),
        Service("mail", reaches=[other_bank]),
    ],
)
