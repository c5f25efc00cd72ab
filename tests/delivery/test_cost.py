"""What a system costs is what its pods request, at somebody's prices."""

from pathlib import Path

import pytest

from holdfast import Command, Deploy, Environment, Pods, Service, System, Tx
from holdfast.delivery.cost import HOURS, Cost, Spread, costs_of
from holdfast.delivery.parts import rendering_of
from holdfast.delivery.prices import Load, Prices, read_prices
from holdfast.errors import DeclarationError
from shop.system import shop


class Print(Command[None]):
    """Print a page."""

    page: int


def press() -> System:
    """Return a system whose one service may wait, with a route at the gateway."""
    printer = Service("printer", deploy=Pods(bulk=True, most=8, cpu="500m", memory="1Gi"))
    desk = Service("desk", deploy=Pods(least=3, most=6, cpu="1", memory="512Mi"))

    @printer.handles
    async def print_page(command: Print, tx: Tx) -> None: ...

    @desk.get("/v1/pages", public=True)
    async def pages() -> None: ...

    return System(
        "press",
        [printer, desk],
        deploy=Deploy(
            environments=[
                Environment("trial", size="small", databases="cluster"),
                Environment("live"),
            ]
        ),
    )


def prices(**per_second: float) -> Prices:
    """Return prices of round numbers, with a load of the live environment if one is given."""
    load = Load(cpu_ms=7.0, answer_kib=1024.0, per_second={"live": per_second})
    databases = {"small": 10.0, "large": 100.0}
    return Prices("EUR", 1.0, 0.1, 0.5, 0.01, databases, load if per_second else None)


def costs(folder: Path, paid: Prices) -> dict[tuple[str, str], Cost]:
    """Return {(environment, what): cost}."""
    found = costs_of(rendering_of(press(), folder, typed="press"), paid)
    return {(cost.environment, cost.what): cost for cost in found}


def test_a_pod_costs_what_it_requests(tmp_path: Path) -> None:
    """Its cores and GiB, over the hours of a month, from the fewest to the most replicas."""
    found = costs(tmp_path, prices())

    desk = found["live", "desk"]
    assert desk.pods == Spread(3, 3, 6)
    assert desk.month.least == pytest.approx(3 * (1.0 + 0.05) * HOURS)
    assert desk.month.most == pytest.approx(2 * desk.month.least)
    assert found["trial", "desk"].pods == Spread(1, 1, 2)


def test_what_may_wait_has_no_pod_while_nothing_waits(tmp_path: Path) -> None:
    """And with a load, a part of the time: 10 letters of 7 ms a second are 0.2 pods of 500m."""
    idle = costs(tmp_path, prices())["live", "printer"]
    busy = costs(tmp_path, prices(printer=10.0, gateway=0.0))["live", "printer"]

    assert idle.pods == Spread(0, 0, 8)
    assert idle.month.least == idle.month.typical == 0.0
    assert busy.pods is not None and busy.pods.typical == pytest.approx(0.2)
    assert busy.month.typical == pytest.approx(0.2 * 0.6 * HOURS)


def test_a_load_needs_pods_that_are_no_busier_than_their_scaler_lets_them(tmp_path: Path) -> None:
    """450 requests of 7 ms are 3.15 cores, at 70 % 4.5 pods, so 5; never more than the most."""
    found = costs(tmp_path, prices(desk=450.0))
    over = costs(tmp_path, prices(desk=5000.0))

    assert found["live", "desk"].pods == Spread(3, 5, 6)
    assert over["live", "desk"].pods == Spread(3, 6, 6)
    assert found["trial", "desk"].pods == Spread(1, 1, 2)


def test_servers_disks_databases_and_answers_are_paid(tmp_path: Path) -> None:
    """As they are rendered: a managed database, or a Postgres of three with its disks."""
    found = costs(tmp_path, prices(gateway=2.0))

    assert ("live", "postgres") not in found
    assert found["live", "managed database"].month == Spread(100.0, 100.0, 100.0)
    postgres = found["trial", "postgres"]
    assert postgres.pods == Spread(3, 3, 3)
    assert postgres.month.least == pytest.approx(3 * ((0.5 + 0.1) * HOURS + 10 * 0.5))
    assert found["live", "nats"].pods == Spread(3, 3, 3)
    egress = found["live", "egress"].month
    assert egress.least == 0.0
    assert egress.typical == pytest.approx(2 * HOURS * 3600 / 1024 * 0.01)
    assert egress.most == pytest.approx(10 * 0.25 * 0.7 / 0.007 * HOURS * 3600 / 1024 * 0.01)
    assert ("trial", "egress") not in found


def test_the_total_is_of_everything(tmp_path: Path) -> None:
    """Of one environment each."""
    found = costs(tmp_path, prices(gateway=2.0))

    for environment in ("trial", "live"):
        rows = [c for (e, what), c in found.items() if e == environment and what != "total"]
        total = found[environment, "total"].month
        assert total.typical == pytest.approx(sum(row.month.typical for row in rows))
        assert total.least <= total.typical < total.most


RIGHT = """
currency = "EUR"
cpu_hour = 0.04
gib_hour = 0.005
storage_gib_month = 0.1
egress_gib = 0.09

[databases]
small = 30
large = 400

[load]
cpu_ms = 2.8
answer_kib = 2

[load.per_second.live]
gateway = 200
"""


def read(folder: Path, text: str) -> Prices:
    """Read a text as a file of prices."""
    file = folder / "prices.toml"
    file.write_text(text)
    return read_prices(file, workloads=["gateway", "desk"], environments=["trial", "live"])


def test_prices_are_read(tmp_path: Path) -> None:
    """With a load, and without."""
    found = read(tmp_path, RIGHT)

    assert (found.currency, found.egress_gib, found.databases["large"]) == ("EUR", 0.09, 400)
    assert found.load == Load(2.8, 2, {"live": {"gateway": 200}})
    assert read(tmp_path, RIGHT.partition("[load]")[0]).load is None


@pytest.mark.parametrize(
    ("right", "wrong", "line", "said"),
    [
        ("cpu_hour = 0.04", "cpu_hour = -1", 3, "cpu_hour = -1: write a number, 0 or more"),
        ("cpu_hour = 0.04", "cpu_hour = true", 3, "cpu_hour = True: write a number, 0 or more"),
        ("gib_hour = 0.005", "gib_hour = nan", 4, "gib_hour = nan: write a number"),
        ("gib_hour = 0.005", "gib_hours = 1", 4, "'gib_hours' is not known; there is currency"),
        ('currency = "EUR"', "currency = 3", 2, 'currency: write a text, as "EUR"'),
        ("large = 400", "", 8, "large is missing in [databases]; add it"),
        ("cpu_ms = 2.8", "cpu_ms = 0", 13, "cpu_ms = 0: write a number, above 0"),
        (
            *("gateway = 200", "moon = 200", 17),
            "'moon' is not known in [load.per_second.live]; there is gateway, desk",
        ),
        (
            *("per_second.live", "per_second.mars", 16),
            "'mars' is not known in [load.per_second]; there is trial, live",
        ),
        ("gateway = 200", 'gateway = "x"', 17, "gateway = 'x': write a number, 0 or more"),
    ],
)
def test_wrong_prices_are_refused_with_their_line(
    tmp_path: Path, right: str, wrong: str, line: int, said: str
) -> None:
    """Each says what would be right."""
    with pytest.raises(DeclarationError) as refused:
        read(tmp_path, RIGHT.replace(right, wrong, 1))

    file = tmp_path / "prices.toml"
    assert any(
        each.startswith(f"{file}:{line}: ") and said in each for each in refused.value.problems
    ), refused.value.problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("currency = \nx = 1", "at line 1"),
        ("databases = 3", "databases is a table; write"),
        ("[load]\nper_second = 3", "write [load.per_second.ENVIRONMENT]"),
        ("[load.per_second]\nlive = 3", "write [load.per_second.live]"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Nothing of it is reckoned with."""
    with pytest.raises(DeclarationError) as refused:
        read(tmp_path, text)

    assert any(said in each for each in refused.value.problems), refused.value.problems


def test_no_file_is_told(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(DeclarationError, match="No such file or directory; give another file"):
        read_prices(tmp_path / "none.toml", workloads=[], environments=[])


def test_the_prices_of_the_documentation_are_right(tmp_path: Path) -> None:
    """Whoever copies them has a table."""
    page = (Path(__file__).parents[2] / "docs" / "delivery.md").read_text()
    (tmp_path / "prices.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    rendering = rendering_of(shop, tmp_path, typed="shop")

    found = read_prices(
        tmp_path / "prices.toml",
        workloads=[workload.name for workload in rendering.plan.workloads],
        environments=["staging", "production"],
    )

    assert costs_of(rendering, found)[-1].month.typical > found.databases["large"]
