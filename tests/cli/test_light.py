"""A command that looks loads what it needs, counted in modules: time is the machine's."""

import subprocess
import sys
from collections import Counter

import pytest

from tests.cli.conftest import LIMIT_S, Cli, Server

HEAVY = ("alembic", "mako", "pygments", "rich", "jinja2", "yaml", "nats", "redis", "asyncpg")
"""None of these is for looking: each takes 20 to 200 ms."""
MODULES_MAX = 900


def loaded(cli: Cli, *arguments: str, code: int = 0) -> Counter[str]:
    """Run a command; return how many modules of each package it had loaded at its end."""
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('', *sys.modules, sep='\\n', file=sys.stderr))\n"
        f"sys.argv = ['holdfast', *{arguments}]\n"
        "from holdfast.cli.main import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=cli.folder,
        env=cli.environ({}),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert ended.returncode == code, ended.stderr
    return Counter(line.partition(".")[0] for line in ended.stderr.splitlines() if line)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A folder in which a system has run."""
    cli = Cli(tmp_path_factory.mktemp("served"))
    server = Server(cli, ("run", "tiny"), {})
    assert server.stop() == 0
    return cli


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("sagas", "list", "tiny"), 0),
        (("dead-letters", "list", "tiny"), 0),
        (("graph", "tiny"), 0),
        (("check", "tiny"), 0),
        (("status", "tiny", "--once"), 2),  # nobody answers
    ],
)
def test_a_look_loads_nothing_heavy(served: Cli, arguments: tuple[str, ...], code: int) -> None:
    """Neither what migrates and draws, nor drivers of servers that are not asked."""
    modules = loaded(served, *arguments, code=code)

    assert [name for name in HEAVY if modules[name]] == []
    assert modules["holdfast"] > 50
    assert modules.total() < MODULES_MAX, modules.most_common(12)


def test_a_run_without_servers_loads_none() -> None:
    """What starts servers and watches processes is for those who have any."""
    code = "import sys, holdfast.cli.run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    beside = {"holdfast.cli.on_servers", "holdfast.runtime.servers", "holdfast.runtime.supervisor"}
    assert beside & set(done.stdout.split()) == set()
