"""Orders settled a second by the shop, and by the same shop written in DBOS, on one Postgres.

The peer is what DBOS's users would write (`peers.dbos_shop`): FastAPI in front, a workflow of five
transactional steps, and the same card processor. Orders come in over HTTP on both sides, and are
settled when the customer has been told. 32 are under way at once; the databases and the load share
the other core.

Target: 5 times the orders a second, and 5 times as many by a second of CPU of the process.
"""

from statistics import median

from benchmarks.harness import Contender, Plan, Row, compare, versus
from benchmarks.orders import Customer
from benchmarks.process import Server, running
from benchmarks.servers import WAKES_S, Costs, Told, counted, on_servers, shop_server

TARGET = 5.0
_FIGURE = "orders on servers, beside the shop in DBOS"


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    async with on_servers() as (servers, processor, folder):
        postgres = servers.addresses["postgres"]
        url = postgres.replace("/postgres?", "/dbos_shop?")
        words = ("--postgres", postgres, "--database", url, "--processor", processor.url)
        ours = shop_server("the shop", servers, processor, folder)
        theirs = Server("the shop in DBOS", "benchmarks.peers.dbos_shop", *words)
        async with running(ours, theirs):
            costs = Costs(servers)
            told = [Told(servers.environ["NOTIFICATIONS_DATABASE_URL"]), Told(url)]
            customers = {
                server: Customer(server.url, notices, costs)
                for server, notices in zip((ours, theirs), told, strict=True)
            }
            sides = [
                Contender(
                    server,
                    customer.order_for,
                    beside=[processor],
                    wakes_s=WAKES_S,
                    servers_s=costs.cpu_s,
                )
                for server, customer in customers.items()
            ]
            samples = await compare(sides, plan)
            counts = [await counted(*each, costs) for each in customers.items()]
            for notices in told:
                notices.close()
            costs.close()
    row = versus(_FIGURE, "orders/s", samples, target=TARGET)
    return [row, _by_cpu(row), *(row for rows in counts for row in rows)]


def _by_cpu(row: Row) -> Row:
    """Return the row of what a second of CPU does, with the same target."""
    ours, theirs = (median(1e6 / s.cpu_us for s in samples) for samples in row.samples.values())
    figure = f"{row.figure}, by CPU"
    return Row(figure, "orders", ours, row.peer_name, theirs, row.cpu_ratio, target=TARGET)
