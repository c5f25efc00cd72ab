# error: orders.counter('orders_placed'): the name of a counter ends in _total, as it is asked for
# error: orders.counter('Orders_total'): a name is 2..100 of a-z, 0-9 and single _
# error: orders.counter('holdfast_orders_total'): names that begin with holdfast are not a service's
# error: orders.histogram('basket_count'): 'count' at its end means something else
# error: orders.histogram('basket_euros'): its buckets are 1..50 numbers from 0 that grow
# error: orders.counter('refused_total'): its help says in one line what is counted
# error: orders.counter('refused_total'): a label 'service' cannot be
# error: orders.counter('refused_total'): a label 'Why' cannot be
# error: orders.counter('wide_total'): it has 9 labels; leave at most 8
# error: orders.counter('twice_total'): it has a label twice
# error: orders.histogram('seen'): the service has another one of that name
# error: stock.counter('shared_total'): orders has one of that name with another kind, help, labels

from holdfast import Service, System

orders, stock = Service("orders"), Service("stock")

orders.counter("orders_placed", "Orders.")
orders.counter("Orders_total", "Orders.")
orders.counter("holdfast_orders_total", "Orders.")
orders.histogram("basket_count", "Things in a basket.")
orders.histogram("basket_euros", "What is in a basket.", buckets=(10, 5, float("inf")))
orders.counter("refused_total", "", labels=("service", "Why"))
orders.counter("wide_total", "Much.", labels=tuple("abcdefghi"))
orders.counter("twice_total", "Twice.", labels=("kind", "kind"))
orders.counter("seen_total", "Seen.")
orders.histogram("seen", "Seen.")
orders.counter("shared_total", "What both count.", labels=("kind",))
stock.counter("shared_total", "What both count.")

system = System("shop", [orders, stock])
