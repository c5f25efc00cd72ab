"""Passwords that do not last: from a file that is written anew, and as tokens of the clouds."""

import hashlib
import hmac
import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, quote

import asyncpg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from holdfast import Service, System
from holdfast.engines.machine import MachineClock
from holdfast.engines.postgres import PostgresDatabase
from holdfast.engines.postgres_url import PostgresUrl, read_postgres_url
from holdfast.engines.short_passwords import short_password
from holdfast.errors import TransactionLost
from holdfast.runtime import engines as runtime_engines
from holdfast.runtime.engines import engines_of
from holdfast.runtime.environment import from_files
from holdfast.runtime.servers import Servers

SECRET = "a-secret-key-of-nobody"
yard = System("yard", services=[Service("depot")])


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    """A Postgres that asks for passwords."""
    servers = Servers(tmp_path / "servers", ["postgres"], yard)
    await servers.start()
    yield servers
    await servers.stop()


async def told(servers: Servers, password: str) -> None:
    """Give the role a new password, as whoever rotates it does."""
    connection = await asyncpg.connect(servers.addresses["postgres"])
    await connection.execute(f"ALTER ROLE depot PASSWORD '{password}'")
    await connection.close()


async def test_a_password_is_read_for_each_connection(servers: Servers, tmp_path: Path) -> None:
    """A wrong one is refused until the file has the right one; what is open goes on meanwhile."""
    file, url = tmp_path / "password", servers.environ["DEPOT_DATABASE_URL"]
    before, _, place = url.partition("?")
    file.write_text("not the one\n")
    where = f"postgresql://depot@/depot?{place}&passwordfile={file}"
    database = PostgresDatabase(where, MachineClock())
    with pytest.raises(TransactionLost, match="password authentication failed"):
        await database.take()
    file.write_text(before.partition("depot:")[2].partition("@")[0] + "\n")
    first, driver = await database.take()
    await told(servers, "the next one")
    with pytest.raises(TransactionLost, match="password authentication failed"):
        await database.take()
    file.write_text("the next one")
    second, _ = await database.take()
    still = await driver.fetchval("SELECT 1")
    for connection in (first, second):
        await database.give(connection)
    await database.close()

    assert still == 1
    assert "the next one" not in repr(read_postgres_url(where))


async def test_a_url_that_came_as_a_file_is_read_again(
    servers: Servers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its password alone counts at once; what is no URL leaves the last one in use."""
    file, url = tmp_path / "url", servers.environ["DEPOT_DATABASE_URL"]
    password = url.partition("depot:")[2].partition("@")[0]
    file.write_text(url.replace(password, "not-the-one"))
    name = "DEPOT_DATABASE_URL"
    environ = from_files({f"{name}_FILE": str(file)}, [name])
    engines = engines_of("yard", ["depot"], environ, lambda name: tmp_path / name, threads=1)
    database = engines.database("depot")
    with pytest.raises(TransactionLost, match="password authentication failed"):
        await database.trouble()
    file.write_text(url + "\n")
    well = await database.trouble()
    await database.close()
    file.write_text("postgresql://half a URL?x")
    still = await database.trouble()
    told = caplog.text
    await database.close()

    assert (well, still) == (None, None)
    assert "postgres: url: the last password stays in use" in told
    assert password not in told + repr(read_postgres_url(url))


async def test_a_url_that_has_not_changed_is_judged_once(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it asks for, such as a context of TLS, is not made again for each connection."""
    judged: list[str] = []

    def judge(text: str) -> PostgresUrl:
        judged.append(text)
        return read_postgres_url(text)

    monkeypatch.setattr(runtime_engines, "read_postgres_url", judge)
    file, url, name = tmp_path / "url", servers.environ["DEPOT_DATABASE_URL"], "DEPOT_DATABASE_URL"
    file.write_text(url)
    environ = from_files({f"{name}_FILE": str(file)}, [name])
    engines = engines_of("yard", ["depot"], environ, lambda name: tmp_path / name, threads=1)
    database = engines.database("depot")
    judged.clear()
    for _ in range(3):
        await database.trouble()
        await database.close()
    same = len(judged)
    file.write_text(f"{url}&application_name=depot")
    well = await database.trouble()
    await database.close()

    assert (same, well) == (1, None)
    assert judged == [url, f"{url}&application_name=depot"]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("passwordfile=/nowhere", "passwordfile=/nowhere: No such file"),
        ("passwordfrom=azure", "passwordfrom=azure: there is rds and cloudsql"),
        ("passwordfrom=cloudsql", "needs sslmode=verify-full"),
        ("passwordfrom=rds&sslmode=require", "needs sslmode=verify-full"),
        ("passwordfile=/nowhere&passwordfrom=rds&sslmode=verify-full", "leave one out"),
        ("passwordfile=/dev/null", "nothing is in it"),
        ("passwordfrom=rds&sslmode=verify-full&host=a,b", "is for one host"),
        ("region=eu-central-1", "region is for passwordfrom=rds"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_the_start(query: str, why: str) -> None:
    """With the parameter and what to do."""
    with pytest.raises(ValueError, match=why):
        read_postgres_url(f"postgresql://orders@db.example/orders?{query}")


def test_two_passwords_are_one_too_many(tmp_path: Path) -> None:
    """Nobody should have to guess which of them counts; neither is shown."""
    (tmp_path / "password").write_text("x")
    with pytest.raises(ValueError, match="passwordfile is there beside a password") as refused:
        read_postgres_url(f"postgresql://o:hidden@db/orders?passwordfile={tmp_path / 'password'}")

    assert "hidden" not in str(refused.value)


def signature(token: str, secret: str) -> str:
    """Sign a presigned URL of AWS as version 4 says, from its published description alone."""
    where, _, query = token.partition("/?")
    pairs = [(k, v) for k, v in parse_qsl(query) if k != "X-Amz-Signature"]
    canonical = "&".join(f"{quote(k, '~')}={quote(v, '~')}" for k, v in sorted(pairs))
    given = dict(pairs)
    nothing = hashlib.sha256(b"").hexdigest()
    request = "\n".join(["GET", "/", canonical, f"host:{where}\n", "host", nothing])
    scope = given["X-Amz-Credential"].partition("/")[2]
    hashed = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", given["X-Amz-Date"], scope, hashed])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


async def test_a_token_of_rds_is_signed_for_this_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """For its host, port and user, for a quarter of an hour, by the process's own credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    given = {"passwordfrom": "rds", "region": "eu-central-1"}
    password = short_password(given, user="orders", host="db.example", port=6432)
    assert password is not None
    token = await password()

    found = dict(parse_qsl(token.partition("?")[2]))
    assert token.startswith("db.example:6432/?")
    assert (found["Action"], found["DBUser"], found["X-Amz-Expires"]) == (
        "connect",
        "orders",
        "900",
    )
    assert "/eu-central-1/rds-db/aws4_request" in found["X-Amz-Credential"]
    assert found["X-Amz-Signature"] == signature(token, SECRET)
    assert found["X-Amz-Signature"] != signature(token, "another")


async def test_without_credentials_there_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the package raises is an outage, which passes when there are some."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    given = {"passwordfrom": "rds", "region": "eu-central-1"}
    password = short_password(given, user="orders", host="db.example", port=5432)
    assert password is not None

    with pytest.raises(ConnectionError, match="passwordfrom=rds: NoCredentialsError"):
        await password()


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, list[str]]]]:
    """Google's token server, as far as a service account needs it; what it was asked."""
    asked: list[dict[str, list[str]]] = []

    class Issuer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            asked.append(parse_qs(self.rfile.read(size).decode()))
            lives_s = 60 if len(asked) == 1 else 3600
            token = {"access_token": f"ya29.{len(asked)}", "expires_in": lives_s}
            body = json.dumps({**token, "token_type": "Bearer"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Issuer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "client_email": "orders@shop.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "private_key_id": "1",
        "token_uri": f"http://127.0.0.1:{server.server_port}/token",
        "project_id": "shop",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_token_of_cloud_sql_is_renewed_before_it_ends(
    issuer: list[dict[str, list[str]]],
) -> None:
    """One that still lives is used again; one that is about to end is not."""
    password = short_password(
        {"passwordfrom": "cloudsql"}, user="orders@shop.iam", host="db", port=5432
    )
    assert password is not None
    tokens = [await password() for _ in range(3)]

    assert tokens == ["ya29.1", "ya29.2", "ya29.2"]
    assert all(
        one["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"] for one in issuer
    )
