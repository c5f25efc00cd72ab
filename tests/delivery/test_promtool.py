"""What is rendered, judged by promtool and amtool."""

from pathlib import Path

import pytest

from holdfast import Model, Saga, Service, Slo, System
from holdfast.delivery import observability, write
from shop.system import shop
from tests.delivery.tools import run

pytestmark = pytest.mark.rules

TESTS = ("burn-1h", "burn-6h", "burn-1d", "burn-3d", "causes")


class Order(Model):
    """What a saga works on."""


async def route() -> None:
    """A route."""


async def checkout(saga: Saga, order: Order) -> None:
    """A saga."""


def tiny() -> System:
    """Return a system with one of everything that is promised."""
    orders = Service("orders", slo=Slo(availability=0.995, latency_share=0.95, share=0.97))
    orders.get("/v1/orders/{id}", public=True)(route)
    orders.saga(checkout)
    return System("tiny", [orders])


def rendered(system: System, folder: Path) -> Path:
    """Render a system; return the folder of Prometheus's files."""
    write(observability(system, typed=system.name, runbooks="https://runbooks.example"), folder)
    return folder / "observability" / "prometheus"


@pytest.fixture(scope="module")
def of_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prometheus's files of the shop."""
    return rendered(shop, tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize("name", ["shop-objectives", "shop-causes"])
def test_rules_pass_without_a_remark(of_shop: Path, name: str) -> None:
    """Duplicates and the like are remarks, which are errors here."""
    code, said = run(
        *("promtool", "check", "rules", "--lint=all", "--lint-fatal", f"rules/{name}.yml"),
        within=of_shop,
    )

    assert code == 0, said
    assert "rules found" in said


def test_the_configuration_passes(of_shop: Path) -> None:
    """With the files that it names."""
    code, said = run("promtool", "check", "config", "prometheus.yml", within=of_shop)

    assert code == 0, said
    assert "2 rule files found" in said


@pytest.mark.parametrize("name", TESTS)
def test_the_shops_rules_pass_their_tests(of_shop: Path, name: str) -> None:
    """Every window of every alert: just above it fires, just below it does not, and it resolves."""
    code, said = run("promtool", "test", "rules", f"tests/{name}.yml", within=of_shop)

    assert (code, "SUCCESS" in said) == (0, True), said


FAULTS = [
    ("objectives", "burn-1h", "> 0.072", "> 0.09"),  # a factor that is wrong
    ("objectives", "burn-1h", "> 0.072", "> 0.06"),
    ("objectives", "burn-1h", "[1h]", "[2h]"),  # a window that is wrong
    ("objectives", "burn-1h", "[5m]", "[1h]"),
    ("objectives", "burn-6h", "[6h]", "[12h]"),
    ("objectives", "burn-6h", "[30m]", "[6h]"),
    ("objectives", "burn-1d", "[1d]", "[2d]"),
    ("objectives", "burn-1d", "[2h]", "[1d]"),
    ("objectives", "burn-3d", "[3d]", "[1d]"),
    ("objectives", "burn-3d", "[6h]", "[3d]"),
    ("objectives", "burn-3d", ">= 5", ">= 0"),  # a few errors of a quiet night
    ("objectives", "burn-3d", ">= 5", ">= 50"),
    ("objectives", "burn-1h", '=~"5.."', '=~"4.."'),  # what counts as an error
    ("objectives", "burn-1h", 'le="0.3"', 'le="0.30"'),  # a bucket that nobody has
    ("objectives", "burn-1h", "holdfast_saga_duration", "holdfast_saga_durations"),
    ("objectives", "burn-1h", "severity: page", "severity: ticket"),
    ("causes", "causes", ">= 3", ">= 4"),
    ("causes", "causes", ">= 3", ">= 1"),
    ("causes", "causes", '"[123].."', '"[1234].."'),  # clients hide that everything fails
    ("causes", "causes", "[1h]", "[5m]"),
    ("causes", "causes", "holdfast_dead_letters", "holdfast_dead_leters"),
    ("causes", "causes", "> 3600", "> 3599"),
    ("causes", "causes", "> 300", "> 301"),
    ("causes", "causes", 'for: "30m"', 'for: "40m"'),
    ("causes", "causes", 'for: "10m"', 'for: "9m"'),
    ("causes", "causes", "absent(", "sum("),
    ("causes", "causes", "unless on (saga)", "and on (saga)"),
    ("causes", "causes", 'service="orders",saga="checkout",out', 'saga="checkout",out'),
]
"""(file of rules, file of tests, what stands there, what a mistake would make of it)."""


@pytest.fixture(scope="module")
def of_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prometheus's files of the tiny system, which pass."""
    folder = rendered(tiny(), tmp_path_factory.mktemp("tiny"))
    for name in TESTS:
        code, said = run("promtool", "test", "rules", f"tests/{name}.yml", within=folder)
        assert code == 0, said
    return folder


@pytest.mark.parametrize(("rules", "tests", "right", "wrong"), FAULTS)
def test_the_rendered_tests_notice_a_mistake(
    of_tiny: Path, rules: str, tests: str, right: str, wrong: str
) -> None:
    """What nobody would see before the night in which it is needed."""
    file = of_tiny / "rules" / f"tiny-{rules}.yml"
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))

    code, said = run("promtool", "test", "rules", f"tests/{tests}.yml", within=of_tiny)
    file.write_text(text)

    assert code == 1, said
    assert "FAILED" in said


def test_sagas_of_one_name_have_each_its_own_budget(tmp_path: Path) -> None:
    """What two services promise of them is played at once, and is different."""
    services = [Service(name, slo=Slo(share=share)) for name, share in (("a", 0.9), ("b", 0.999))]
    for service in services:
        service.saga(checkout)
    folder = rendered(System("twins", services), tmp_path)

    for name in TESTS:
        code, said = run("promtool", "test", "rules", f"tests/{name}.yml", within=folder)
        assert (code, "SUCCESS" in said) == (0, True), said


def test_alertmanager_takes_its_configuration_and_tells_the_right_people(of_shop: Path) -> None:
    """A page wakes somebody, and everything else waits for the morning."""
    folder = of_shop.parent / "alertmanager"
    config = "--config.file=alertmanager.yml"

    code, said = run("amtool", "check-config", "alertmanager.yml", within=folder)
    told: list[str] = []
    for severity in ("page", "ticket"):
        words = ("amtool", "config", "routes", "test", config, f"severity={severity}")
        told.append(run(*words, within=folder)[1].split()[-1])

    assert code == 0, said
    assert told == ["page", "ticket"]
