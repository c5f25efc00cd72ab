"""The programs that judge what is rendered: where each is, and how it is run.

A missing program fails the test that wants it; `make deploy-test` fetches all of them.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PREFIX = Path(sys.prefix)
"""The environment that the tests run in; what is fetched for them is below it."""

RELEASES = {"35": ("4.1.4", "1.35.2"), "36": ("4.2.3", "1.36.3"), "37": ("4.3.1", "1.37.1")}
"""{minor version of Kubernetes: (Helm, kubectl)}, as one archive brings them."""
NEWEST = max(RELEASES)
ELSEWHERE = {"checkov": "checkov/bin", "shellcheck": "shellcheck/usr/bin"}
"""{program: the folder that it is in, if it is not among the commands of the environment}."""


def program(name: str) -> Path:
    """Return the path of a program that a package brings, such as `hadolint`."""
    return _there(PREFIX / ELSEWHERE.get(name, "bin") / name)


def helm(minor: str = NEWEST) -> Path:
    """Return the path of Helm's official binary, of the archive for a minor of Kubernetes."""
    return _there(PREFIX / "archives" / f"v{minor}" / "helm" / "helm")


def kubectl(minor: str = NEWEST) -> Path:
    """Return the path of kubectl's official binary."""
    return _there(PREFIX / "archives" / f"v{minor}" / "kubectl" / "kubectl")


def archive(pattern: str) -> Path:
    """Return the one archive whose name fits a pattern: a wheel that is read, never installed."""
    found = sorted((PREFIX / "archives").glob(pattern))
    assert len(found) == 1, f"{len(found)} archives are {pattern}; `make deploy-test` fetches it"
    return found[0]


def run(
    *words: str | Path,
    within: Path | None = None,
    given: str = "",
    more: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a program; return its exit code and all that it prints, both streams as they come.

    Args:
        within: the folder that it runs in.
        given: its standard input.
        more: environment variables beside the few that a program needs.
    """
    code, said, errors = run_apart(*words, within=within, given=given, more=more)
    return code, said + errors


def run_apart(
    *words: str | Path,
    within: Path | None = None,
    given: str = "",
    more: Mapping[str, str] | None = None,
) -> tuple[int, str, str]:
    """Run a program as `run` does; return its exit code, its output and its errors."""
    few = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=within,
        input=given.encode(),
        capture_output=True,
        env={**few, "NO_COLOR": "1", **(more or {})},
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _there(path: Path) -> Path:
    assert path.exists(), f"there is no {path.name} at {path}; `make deploy-test` fetches it"
    return path
