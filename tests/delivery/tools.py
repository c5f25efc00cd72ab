"""Prometheus's own tools, as they are installed or as `make rules` fetches them."""

import shutil
import subprocess
import sys
from pathlib import Path


def tool(name: str) -> str:
    """Return the path of one of them."""
    unpacked = Path(sys.prefix) / "prometheus" / "usr" / "bin" / name
    found = shutil.which(name) or str(unpacked)
    assert Path(found).exists(), f"there is no {name}; `make rules` fetches it"
    return found


def run(*words: str | Path, within: Path) -> tuple[int, str]:
    """Run a tool in a folder; return its exit code and all that it prints."""
    name, *arguments = map(str, words)
    done = subprocess.run(
        [tool(name), *arguments],
        cwd=within,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=500,
        check=False,
    )
    return done.returncode, done.stdout.decode()
