"""The same system on real servers, in one process and in several; the code is not changed."""

import json
import shutil
import socket
import ssl
from collections.abc import Callable

import pytest

from tests.cli.conftest import Cli, Server


def states(cli: Cli) -> list[str]:
    """Return the states of the sagas."""
    return sorted(row[3] for row in cli.quick("sagas", "list", "tiny").rows)


@pytest.mark.parametrize(
    "options",
    [(), ("--split",), ("--replicas", "desk=2"), ("--processes", "2")],
    ids=["one", "split", "replicas", "processes"],
)
def test_parcels_are_packed_on_postgres_and_nats(
    cli: Cli, serve: Callable[..., Server], options: tuple[str, ...]
) -> None:
    """Servers are started from their wheels; commands find the system; a signal ends it all."""
    server = serve("run", "tiny", "--on", "postgres,nats", *options)
    posted = [server.post("/v1/parcels", {"note": str(n), "kg": 20 * n}) for n in range(3)]
    while states(cli) != ["completed", "completed", "completed"]:
        pass  # the test's time-out is the bound
    paths = server.get("/openapi.json")["paths"]
    shown = [line.split()[0] for line in server.greeting if line.startswith("  ")]
    code = server.stop()

    assert posted == [202, 202, 202]
    assert "/v1/parcels" in paths
    several = "tiny-2" if "--processes" in options else "desk-1"
    assert (several if options else "services") in shown
    assert ("desk-2" in shown) == ("--replicas" in options)
    assert code == 0


def test_a_start_makes_another_authority_where_its_folder_was_deleted(
    cli: Cli, serve: Callable[..., Server]
) -> None:
    """For who does not trust its key any more: what is in the databases goes on."""
    certificates = list[bytes]()
    folder = cli.folder / ".holdfast" / "tiny" / "identities"
    for n in range(2):
        server = serve("run", "tiny", "--on", "postgres,nats", "--split")
        assert server.post("/v1/parcels", {"note": str(n), "kg": 1}) == 202
        while states(cli) != ["completed"] * (n + 1):
            pass  # the test's time-out is the bound
        assert server.stop() == 0
        certificates.append((folder / "ca.crt").read_bytes())
        shutil.rmtree(folder)

    assert certificates[0] != certificates[1]


def ready(cli: Cli, workload: str, url: str) -> dict[str, dict[str, object]]:
    """Return what a process has checked, asked as docs/operations.md does."""
    at = cli.folder / ".holdfast" / "tiny" / "identities"
    context = ssl.create_default_context(cafile=at / "ca.crt")
    context.load_cert_chain(at / "monitoring" / "tls.crt", at / "monitoring" / "tls.key")
    host, _, port = url.removeprefix("https://").partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=30) as bare,
        context.wrap_socket(bare, server_hostname=workload) as connection,
    ):
        connection.sendall(b"GET /health/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    found: dict[str, dict[str, object]] = json.loads(body)["checks"]
    return found


@pytest.mark.parametrize("on", ["postgres,nats", "nats"])
def test_what_operators_see_of_several_processes(
    cli: Cli, serve: Callable[..., Server], on: str
) -> None:
    """One order from the databases of all, also when it is down; the graph and the log of all."""
    server = serve("run", "tiny", "--on", on, "--split")
    assert server.post("/v1/parcels", {"note": "a", "kg": 40}) == 202
    while "completed" not in (told := cli.quick("trace", "tiny", "--about", "kg=40")).out:
        pass  # the test's time-out is the bound
    graph = cli.quick("status", "tiny", "--json", "--every", "0.2").json()
    logs = cli.quick("logs", "tiny", "--once", "--about", "kg=40", "--json").out.splitlines()
    lines = [line.split() for line in server.greeting if "  operations " in line]
    checked = {words[0]: ready(cli, words[0].partition("-")[0], words[-1]) for words in lines}
    assert server.stop() == 0
    down = cli.quick("trace", "tiny", "--about", "kg=40")

    assert "shed → desk  ! step 1, Pack.v1 is refused: TooHeavy" in told.out
    assert (down.code, down.err) == (0, "")
    assert down.out == told.out
    assert [(s["name"], s["state"], s["processes"]) for s in graph["services"]] == [
        ("desk", "ready", 1),
        ("shed", "ready", 1),
    ]
    assert graph["silent"] == []
    assert set(checked) == {"gateway", "desk-1", "shed-1"}
    for name, checks in checked.items():
        assert [what for what, one in checks.items() if not one["ok"]] == []
        assert ("broker" in checks) is (name != "gateway")  # which has no letters
    assert {json.loads(line)["service"] for line in logs} >= {"gateway", "shed"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--on", "oracle"), "there is no oracle; there are postgres, nats, redis"),
        (("--split",), "several processes need a broker: add `--on nats`, or BROKER_URL"),
        (("--replicas", "desk"), "--replicas desk: write it as SERVICE=N"),
        (("--on", "nats", "--replicas", "attic=2"), "has no service 'attic'"),
        (("--on", "nats", "--replicas", "desk=0"), "--replicas desk=0: at least 1"),
        (("--on", "nats", "--replicas", "desk=2"), "several processes of desk need one database"),
        (("--on", "nats", "--processes", "2"), "need one database: add `--on postgres`"),
        (("--processes", "2", "--split"), "--processes runs all services in each process"),
    ],
)
def test_what_cannot_be_is_one_line(cli: Cli, options: tuple[str, ...], told: str) -> None:
    """It says what to write instead."""
    done = cli.quick("run", "tiny", *options)

    assert done.code in (1, 2)
    assert told in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"DATABASE_URL": "mysql://x"}, "write it as postgresql://user:password@host/database"),
        ({"DATABASE_URL": "postgresql://h/x"}, "put {service} into it"),
        ({"BROKER_COPIES": "many", "BROKER_URL": "nats://x"}, "write 1, 3 or 5"),
        ({"BROKER_URL": "amqp://x"}, "write it as nats://host:4222"),
    ],
)
def test_a_wrong_url_is_one_line(cli: Cli, environ: dict[str, str], told: str) -> None:
    """It names the variable."""
    done = cli.quick("run", "tiny", **environ)

    assert done.code == 1
    assert next(iter(environ)) in done.err
    assert told in done.err
