"""Stand-ins of third parties: one that ends is started again, and seen."""

import asyncio
import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast import External, Service, System
from holdfast.engines.machine import MachineClock
from holdfast.errors import DatabaseDamaged, SettingError
from holdfast.observability import Logger
from holdfast.runtime.children import PAUSE_CAP_S, PAUSE_S, WELL_S, pause_s
from holdfast.runtime.process import Options, Process
from holdfast.runtime.serve import start
from holdfast.runtime.stand_in import StandIn
from holdfast.testing import Running, running

SCRIPT = """
import http.server, pathlib, sys
port, closed = sys.argv[1:]
if pathlib.Path(closed).exists():
    sys.exit(3)
http.server.HTTPServer(("127.0.0.1", int(port)), http.server.BaseHTTPRequestHandler).serve_forever()
"""


def system_with(folder: Path) -> System:
    """Return a system whose third party has a stand-in that ends while `closed` exists."""
    script = folder / "stand_in.py"
    script.write_text(SCRIPT)
    bank = External(
        "bank", url="https://bank.test", local=f"python {script} {{port}} {folder}/closed"
    )
    return System("stood", services=[Service("desk", reaches=[bank])])


async def until(reached: Callable[[], bool]) -> None:
    """Wait; the test's time-out is the bound."""
    while not reached():
        await asyncio.sleep(0.01)


def stand_in_of(run: Running) -> StandIn:
    """Return the only one."""
    (stand_in,) = run.process.externals.stand_ins
    return stand_in


async def test_a_stand_in_that_dies_is_shown_and_comes_back(tmp_path: Path) -> None:
    """At its address; readiness says why it is away, and turns no request away for it."""
    closed = tmp_path / "closed"
    async with running(system_with(tmp_path)) as run:
        stand_in = stand_in_of(run)
        url, first = stand_in.url, stand_in.pid
        closed.touch()
        os.kill(first or 0, signal.SIGKILL)
        await until(lambda: stand_in.restarts >= 2 and stand_in.trouble() == "it ended with 3")
        away = await run.process.health.ready()
        closed.unlink()
        await until(lambda: stand_in.trouble() is None)
        back = await run.process.health.ready()
        metrics = run.process.metrics.render().decode()

        assert (stand_in.url, stand_in.pid is not None) == (url, True)
        assert stand_in.pid != first
    assert (away.status, back.status) == (200, 200)
    shown = [json.loads(answer.body)["checks"]["stand-in of bank"] for answer in (away, back)]
    assert shown == [{"ok": False, "why": "it ended with 3"}, {"ok": True}]
    assert f'holdfast_stand_in_restarts_total{{external="bank"}} {stand_in.restarts}' in metrics
    assert stand_in.pid is None


async def test_it_starts_while_databases_are_opened_and_ends_with_a_start_that_fails(
    tmp_path: Path,
) -> None:
    """One that is damaged stops the start, and nothing is left behind."""
    system, data = system_with(tmp_path), tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "desk.db").write_bytes(b"no database, and long enough to be one" * 100)
    (data / "desk.db").chmod(0o600)
    options = Options(data=data, locals=True, host="127.0.0.1", port=0, ops_port=0)
    process = Process(system, options, Logger(io.BytesIO(), MachineClock(), "stood", "error"))

    with pytest.raises(DatabaseDamaged, match="desk"):
        await start(process)
    (stand_in,) = process.externals.stand_ins  # so it was begun
    assert stand_in.pid is None


async def test_one_that_is_away_is_not_started_again_after_the_end(tmp_path: Path) -> None:
    """Its next start was due; the system has stopped before."""
    closed = tmp_path / "closed"
    async with running(system_with(tmp_path)) as run:
        stand_in = stand_in_of(run)
        closed.touch()
        os.kill(stand_in.pid or 0, signal.SIGKILL)
        await until(lambda: stand_in.trouble() is not None)

    closed.unlink()
    assert stand_in.pid is None
    assert not [task for task in asyncio.all_tasks() if "stand-in" in task.get_name()]


async def test_one_that_never_starts_is_refused(tmp_path: Path) -> None:
    """With its command; only one that was well once is started again."""
    system = system_with(tmp_path)
    (tmp_path / "closed").touch()

    with pytest.raises(SettingError, match=r"the stand-in of bank did not start: .*stand_in\.py"):
        async with running(system):
            pass


def test_pauses_grow_until_one_lives_well() -> None:
    """Doubling up to a bound; one that ran for a while begins anew."""
    pauses = [0.0]
    for _ in range(9):
        pauses.append(pause_s(pauses[-1], lived_s=0.1))

    assert pauses[1:4] == [PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S]
    assert pauses[-1] == PAUSE_CAP_S
    assert pause_s(PAUSE_CAP_S, lived_s=WELL_S + 1) == PAUSE_S
