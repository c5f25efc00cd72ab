"""Secrets are planted wherever they are read, and looked for wherever something is told.

They have no shape by which a log would know them: what hides them is that nobody hands them on.
"""

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from holdfast.security import SigningKey
from tests.cli.conftest import Cli, Done, Server

A, B = "kq7Zx2Vw9Lm3", "Rt5Ny8Hb4Pc6"
SECRET = A + B
AWAY = "127.0.0.1:1"

SPOILT = (
    f"://u:{SECRET}@{AWAY}",
    f"://{SECRET}@{AWAY}",
    f"://u:{SECRET}@host:port",
    f"://u:{A}/{B}@{AWAY}",
    f"://u:{A}@{B}@{AWAY}",
    f"://u:{A}#{B}@{AWAY}",
    f"://u:{A}?{B}@{AWAY}",
    f"://u:{A}[{B}@host",
    f"://u:{A},{B}@{AWAY}",
    f"://u:{A}%zz{B}@{AWAY}",
    f"://u:p@{AWAY}/d?password={SECRET}",
    f"://u:p@{AWAY}/d?sslmode=verify-full&sslcert=/nowhere&sslpassword={SECRET}",
)
"""What stands behind the scheme of a URL: right, wrong in one way, or another program's way."""
KEYS = (
    SECRET,
    f'{{"kty":"OKP","crv":"Ed25519","d":"{SECRET}"',
    f'{{"kty":"OKP","crv":"Ed25519","d":"{SECRET}","x":"a"}}',
    f'["{SECRET}"]',
)
HEADERS = (f"authorization=Bearer {SECRET}", SECRET, f"authorization={SECRET},x", f"a b={SECRET}")


def values() -> Iterator[tuple[str, str]]:
    """Yield (variable, value) of each secret that a process reads, in each form."""
    schemes = {
        "DATABASE_URL": "postgresql",
        "ORDERS_DATABASE_URL": "postgresql",
        "ORDERS_DATABASE_OWNER_URL": "postgresql",
        "BROKER_URL": "nats",
        "REDIS_URL": "redis",
        "GATEWAY_KEYS_URL": "http",
        "PROCESSOR_URL": "http",
        "ORDERS_URL": "http",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http",
    }
    for variable, scheme in schemes.items():
        if scheme != "http":  # where an address without its scheme is told, so that it can be seen
            yield variable, SECRET
        yield from ((variable, scheme + rest) for rest in SPOILT)
        yield variable, f"mysql{SPOILT[0]}"
    yield from (("USERS_SIGNING_KEY", key) for key in KEYS)
    yield from (("OTEL_EXPORTER_OTLP_HEADERS", headers) for headers in HEADERS)


def shows_none(done: Done, folder: Path) -> None:
    """Look at what a command printed and wrote."""
    assert A not in done.out + done.err and B not in done.out + done.err, done
    assert "Traceback" not in done.err
    assert found_in(folder, [A, B]) == []


def found_in(folder: Path, secrets: list[str], holds: tuple[str, ...] = ()) -> list[str]:
    """Return the files below a folder that show a secret, without those that are there for it."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part in str(path.relative_to(folder)) for part in holds)
        and any(secret.encode() in path.read_bytes() for secret in secrets)
    ]


@pytest.mark.parametrize(
    "command",
    [("check", "shop"), ("migrate", "shop", "--check"), ("status", "shop", "--once")],
    ids=lambda command: command[0],
)
def test_no_command_shows_a_secret(cli: Cli, command: tuple[str, ...]) -> None:
    """Whether a server is away, the value is wrong, or all is well: nothing of it is told."""
    for variable, value in values():
        if command[0] == "migrate" and "DATABASE" not in variable and "OTEL" not in variable:
            continue  # it reads no other
        shows_none(cli.quick(*command, **{variable: value}), cli.folder)


def test_no_command_shows_a_secret_of_a_file(cli: Cli, tmp_path: Path) -> None:
    """Nor is it told of a file, which is named."""
    for n, (variable, value) in enumerate(values()):
        file = tmp_path / f"secret-{n}"
        file.write_text(value)
        done = cli.quick("check", "shop", **{f"{variable}_FILE": str(file)})
        file.unlink()
        shows_none(done, cli.folder)


def test_what_is_rendered_shows_no_secret(cli: Cli) -> None:
    """It is written from the declaration, whatever the environment of who renders it has."""
    environ = dict(values())

    done = cli.quick("render", "shop", "--to", "out", **environ)

    assert done.code == 0
    shows_none(done, cli.folder)


@pytest.mark.parametrize("variable", ["REDIS_URL", "GATEWAY_KEYS_URL"])
def test_a_process_whose_server_is_away_shows_no_secret(
    cli: Cli, serve: Callable[..., Server], variable: str
) -> None:
    """In its log, its metrics, its health, and what it answers."""
    given = next(value for name, value in values() if name == variable and AWAY in value)
    server = serve("run", "shop", environ={variable: given})
    told = "".join(asked(server))
    assert server.stop() == 0

    shows_none(Done(0, told, "\n".join(server.greeting)), cli.folder)


def asked(server: Server) -> Iterator[str]:
    """Yield what a running shop says to anybody, well asked or not."""
    ops = next(line.split()[1] for line in server.greeting if line.startswith("  operations"))
    login = {"email": "ada@example.com", "password": SECRET}
    bodies: list[tuple[str, str, object]] = [
        ("POST", "/v1/users", {**login, "name": "Ada"}),
        ("POST", "/v1/users", {**login, "name": "Ada"}),
        ("POST", "/v1/users", {**login, "name": 7, "extra": SECRET}),
        ("POST", "/v1/tokens", {**login, "email": "eve@example.com"}),
        ("POST", "/v1/tokens", {"email": "ada@example.com", "password": [SECRET]}),
        ("POST", "/v1/tokens", login),
        ("GET", f"/v1/orders/{SECRET}", None),
        ("GET", "/openapi.json", None),
    ]
    for method, path, body in bodies:
        yield answer(server.address, method, path, body)
    for path in ("/metrics", "/health/ready", "/health/live"):
        yield answer(ops.removeprefix("http://"), "GET", path, None)


def answer(address: str, method: str, path: str, body: object) -> str:
    """Return the whole answer to a request that brings a token, which is none."""
    connection = HTTPConnection(address, timeout=60)
    headers = {"content-type": "application/json", "authorization": f"Bearer {SECRET}"}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        with connection.getresponse() as response:
            return f"{response.headers}{response.read().decode()}"
    finally:
        connection.close()


def test_a_split_system_shows_no_secret(cli: Cli, serve: Callable[..., Server]) -> None:
    """Its servers' passwords, its signing key, its users': in no log, no file, no command line."""
    key = SigningKey(os.urandom(32)).to_json()
    (cli.folder / "key").write_text(key)
    environ = {
        "USERS_SIGNING_KEY_FILE": str(cli.folder / "key"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{AWAY}",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {SECRET}",
    }
    server = serve("run", "shop", "--on", "postgres,nats,redis", "--split", environ=environ)
    data = cli.folder / ".holdfast/shop"
    drawn = json.loads((data / "servers/passwords.json").read_text())
    secrets = [*drawn.values(), str(json.loads(key)["d"]), A, B]
    secrets += [urlsafe_b64encode(f"u:{one}".encode()).decode() for one in drawn.values()]

    told = answer(
        server.address,
        "POST",
        "/v1/users",
        {"email": "ada@example.com", "password": SECRET, "name": "Ada"},
    )
    told += answer(
        server.address, "POST", "/v1/tokens", {"email": "ada@example.com", "password": f"{SECRET}x"}
    )
    lines = {pid: line for pid, line in command_lines() if str(cli.folder) in line}
    told += "".join(
        cli.quick(*command, "shop", *more).out
        for command, *more in (
            (("status",), "--once"),
            (("logs",), "--once"),
            (("sagas", "list"),),
            (("audit", "show"),),
        )
    )
    assert server.stop() == 0

    assert len(secrets) > 5 and len(lines) > 6
    assert [line for line in lines.values() if any(one in line for one in secrets)] == []
    assert [one for one in secrets if one in told + "\n".join(server.greeting)] == []
    holds = ("passwords.json", ".conf", "postgres/", "identities/", "secrets/", "key")
    assert found_in(cli.folder, secrets, holds) == []


def command_lines() -> Iterator[tuple[int, str]]:
    """Yield (number, command line) of all processes of this machine."""
    for here in Path("/proc").iterdir():
        if here.name.isdecimal():
            try:
                line = (here / "cmdline").read_bytes().replace(b"\0", b" ")
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield int(here.name), line.decode(errors="replace")
