"""`--host` is any address: it is printed, found ready, reached by others, and refused by name."""

import asyncio
import json
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.communication import ClientPool, Origin
from holdfast.contract.http import Request
from holdfast.engines.machine import MachineClock
from holdfast.engines.network import SystemNetwork
from tests.cli.conftest import Cli, Server


def post(url: str, note: str) -> int:
    """Post a parcel to an address, as it was printed."""

    async def once() -> int:
        pool = ClientPool(network=SystemNetwork(), clock=MachineClock())
        try:
            headers = [(b"content-type", b"application/json")]
            body = json.dumps({"note": note, "kg": 1}).encode()
            request = Request("POST", "/v1/parcels", headers=headers, body=body)
            return (await pool.request(Origin.parse(url), request, deadline_s=30)).status
        finally:
            await pool.close()

    return asyncio.run(once())


def printed(server: Server, name: str) -> str:
    """Return an address of the greeting."""
    return next(line.split()[1] for line in server.greeting if line.startswith(f"  {name} "))


@pytest.mark.parametrize("options", [(), ("--on", "nats", "--split")], ids=["one", "split"])
@pytest.mark.parametrize("host", ["::1", "127.0.0.2", "0.0.0.0", "::", "localhost"])
def test_it_serves_where_it_says(
    serve: Callable[..., Server], options: tuple[str, ...], host: str
) -> None:
    """Alone and as several processes: the supervisor finds the gateway ready there."""
    server = serve("run", "tiny", "--host", host, *options)
    url = printed(server, "gateway")

    assert post(url, "a") == 202
    assert ("[" in url) == (":" in host)
    assert server.stop() == 0


@pytest.mark.parametrize("options", [(), ("--on", "nats", "--split")], ids=["one", "split"])
def test_it_serves_on_a_socket(
    cli: Cli, serve: Callable[..., Server], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Its user's alone; what a killed process left there is no hindrance, and one that lives is."""
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = serve("run", "tiny", "--host", f"unix:{path}", *options)
    mode = stat.S_IMODE(path.stat().st_mode)
    status = post(printed(server, "gateway"), "a")
    second = cli.quick(
        "run", "tiny", "--host", f"unix:{path}", "--ops-port", "0", "--data", "other"
    )
    code = server.stop()

    assert (status, code) == (202, 0)
    assert mode & 0o077 == 0
    assert second.code == 1
    assert f"{path} cannot be used: Address already in use" in second.err
    assert not path.exists()


def identity(folder: Path, name: str) -> dict[str, str]:
    """Return what a process is told of an identity that a running system has issued."""
    issued = folder / ".holdfast" / "tiny" / "identities"
    return {
        "HOLDFAST_CERT": str(issued / name / "tls.crt"),
        "HOLDFAST_KEY": str(issued / name / "tls.key"),
        "HOLDFAST_CA": str(issued / name / "ca.crt"),
    }


def test_services_find_each_other_at_any_address(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    """A service on IPv6 or on a socket is behind the gateway by its `<SERVICE>_URL`."""
    nats = serve("run", "tiny", "--on", "nats", "--split")
    environ = {"BROKER_URL": printed(nats, "nats")} | identity(tmp_path, "desk")
    desk = tmp_path / "desk.sock"
    one = serve("serve", "tiny", "desk", "--data", "one", "--host", f"unix:{desk}", environ=environ)
    two = serve("serve", "tiny", "desk", "--data", "two", "--host", "::1", environ=environ)
    for address in (printed(one, "inside"), printed(two, "inside")):
        gateway = serve(
            *("serve", "tiny", "gateway", "--data", "gateway"),
            environ=environ | identity(tmp_path, "gateway") | {"DESK_URL": address},
        )
        assert post(printed(gateway, "gateway"), "a") == 202
        assert gateway.stop() == 0


@pytest.mark.parametrize(
    ("host", "told"),
    [("2001:db8::7", "[2001:db8::7]"), ("no.such.host.invalid", "no.such.host.invalid")],
)
def test_an_address_that_is_not_ours_is_named(cli: Cli, host: str, told: str) -> None:
    """One line."""
    done = cli.quick("run", "tiny", "--host", host, "--port", "8999")

    assert done.code == 1
    assert done.err.startswith(f"holdfast: cannot listen on {told}:8999")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("host", ["unix:", "unix:run/a.sock", "unix://run/a.sock"])
def test_a_socket_that_is_none_is_refused(cli: Cli, host: str) -> None:
    """With how it is written."""
    done = cli.quick("run", "tiny", "--host", host)

    assert done.code == 2
    assert "unix:/path/of.sock" in done.err
    assert "Traceback" not in done.err
