"""What an order costs when a thousand, a hundred thousand and a million are in the tables already.

The rows of ended orders are put into all tables that keep them, the framework's and the shop's:
sagas with their steps, recorded requests, orders, lines, reservations, payments, notifications.
(Settled letters are not kept; their rows go after a minute.) Then the same load runs as in
`servers`, whose time and CPU for an order, and Postgres's, are compared.

Target: at most 20 % more time for an order with a million than with a thousand.
"""

from statistics import median

import psycopg

from benchmarks.harness import Contender, Plan, Row, Sample, compare
from benchmarks.orders import Customer
from benchmarks.process import LOAD_CORE, Server, disk_folder, running
from benchmarks.servers import Costs, Told
from holdfast.runtime.servers import Servers
from shop.system import shop

SIZES = (1_000, 100_000, 1_000_000)
TARGET = 1.2
_ID = "('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
_NOW_MS = "extract(epoch FROM now())::bigint * 1000"
_EACH = "FROM generate_series({first}, {last}) n"
_RECORDED = (
    "INSERT INTO holdfast_message (edge, id, state, kind, due_at, tries, reached, body, answer) "
    f"SELECT (SELECT id FROM holdfast_edge WHERE sender = 'http'), {_ID}, 'done', 'request', "
    f"{_NOW_MS} + 86400000, 1, false, '', decode(repeat('7b', 300), 'hex') {_EACH}"
)
_FILLED = {
    "orders": (
        f"INSERT INTO customer_order SELECT {_ID}, 'somebody', 'confirmed', NULL, 9900, now() "
        f"{_EACH}",
        f"INSERT INTO order_line SELECT {_ID}, p, 'LANTERN', 1, 2750 {_EACH}, "
        "generate_series(0, 1) p",
        f"INSERT INTO holdfast_saga SELECT {_ID}, 'checkout', 1, 'completed', "
        f"decode(repeat('7b', 300), 'hex'), NULL, NULL, {_NOW_MS}, {_NOW_MS} {_EACH}",
        f"INSERT INTO holdfast_step SELECT {_ID}, p::text, 'call Reserve.v1', '{{{{}}}}', "
        f"{_NOW_MS} {_EACH}, generate_series(1, 3) p",
        _RECORDED,
    ),
    "inventory": (f"INSERT INTO reservation SELECT {_ID}, 'LANTERN', 1, 'sold' {_EACH}",),
    "payments": (f"INSERT INTO payment SELECT {_ID}, {_ID}, n::text, 9900, 'charged' {_EACH}",),
    "notifications": (
        f"INSERT INTO notification SELECT {_ID}, {_ID}, 'somebody', 'confirmed', "
        f"'It is on its way.', now() {_EACH}",
    ),
}


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    found: dict[str, list[Sample]] = {}
    with disk_folder() as folder:
        servers = Servers(folder / "servers", ["postgres", "nats"], shop)
        await servers.start()
        ledger = ("--port", "0", "--ledger", str(folder / "processor.db"))
        processor = Server("processor", "shop.processor", *ledger, core=LOAD_CORE)
        try:
            async with running(processor):
                environ = {"PROCESSOR_URL": processor.url, **servers.environ}
                ours = Server("the shop", "benchmarks.ours.shop", str(folder), environ=environ)
                async with running(ours):
                    found = await _as_it_grows(ours, processor, servers, plan)
        finally:
            await servers.stop()
    small, *_, large = found.values()
    slower = median(s.rate for s in small) / median(s.rate for s in large)
    return [
        Row(
            f"time of an order, {SIZES[-1]:,} beside {SIZES[0]:,}",
            "×",
            slower,
            target=TARGET,
            at_most=True,
            samples=found,
        )
    ]


async def _as_it_grows(
    ours: Server, processor: Server, servers: Servers, plan: Plan
) -> dict[str, list[Sample]]:
    costs = Costs(servers)
    told = Told(servers.environ["NOTIFICATIONS_DATABASE_URL"])
    customer = Customer(ours.url, told, costs)
    found: dict[str, list[Sample]] = {}
    first = 0
    for size in SIZES:
        for service, statements in _FILLED.items():
            _fill(servers.environ[f"{service.upper()}_DATABASE_URL"], statements, first, size)
        first = size
        with psycopg.connect(servers.addresses["postgres"], autocommit=True) as connection:
            connection.execute("CHECKPOINT")  # what was put in is on its way to the disk
        side = Contender(ours, customer.order_for, beside=[processor], servers_s=costs.cpu_s)
        [samples] = (await compare([side], plan)).values()
        found[f"{size:,} in the tables"] = samples
    told.close()
    costs.close()
    return found


def _fill(url: str, statements: tuple[str, ...], first: int, last: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.format(first=first + 1, last=last))
        connection.execute("VACUUM ANALYZE")
