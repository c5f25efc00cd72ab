"""A pytest plugin that lets many mutants meet the same tests: collected once, forked for each.

In a fork the code of the one function that differs is exchanged, and the tests run until the first
fails: those alone that call the function, and the quickest first. That takes a tenth of a new
process, or less. What is no code of a function, such as a default, a constant or a regular
expression, cannot be exchanged, and `judge` has a slower way for it.
"""

import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from tests.mutants.calls import EVERYBODY, Calls

JOBS, VERDICTS = "MUTANTS_JOBS", "MUTANTS_VERDICTS"
"""Environment: a file of [[module, within, source]], and where a word for each is written."""

_OTHERWISE = 77


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run the tests as they are, and then with each mutant, each time in a fork."""
    if session.testsfailed:
        raise session.Interrupted("errors during collection")
    verdicts = Path(os.environ[VERDICTS])
    written = verdicts.with_suffix(".calls")
    words = [_meet(session.items, None, 1_200.0, written)]
    if words == ["survived"]:
        found = json.loads(written.read_text())
        for job in json.loads(Path(os.environ[JOBS]).read_text()):
            items = _those_that_call(session.items, job, **found)
            limit_s = 20 + 4 * sum(found["seconds"][item.nodeid] for item in items)
            words.append(_meet(items, job, limit_s))
            verdicts.write_text(json.dumps(words))  # each at once, for whoever looks
    verdicts.write_text(json.dumps(words))
    return True


def _those_that_call(
    items: Sequence[pytest.Item],
    job: Sequence[str],
    seconds: Mapping[str, float],
    tests: Mapping[str, Sequence[str]],
) -> list[pytest.Item]:
    """Return the tests that call the function of a mutant, the quickest first."""
    module, within, _ = job
    called = set(tests.get(f"{module} {within}", ()))
    met = [item for item in items if item.nodeid in called or EVERYBODY in called]
    return sorted(met, key=lambda item: seconds[item.nodeid])


def _meet(
    items: Sequence[pytest.Item],
    job: Sequence[str] | None,
    limit_s: float,
    written: Path | None = None,
) -> str:
    child = os.fork()
    if child == 0:
        _be_tests(items, job, written)
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return {0: "survived", _OTHERWISE: "otherwise"}.get(code, "killed")
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)  # with whatever the tests have started
    os.waitpid(child, 0)
    return "killed by time"


def _be_tests(
    items: Sequence[pytest.Item], job: Sequence[str] | None, written: Path | None
) -> None:
    """Be the process of the tests; does not return.

    Args:
        written: where it is written down what the tests call.
    """
    code, calls = 70, Calls()
    try:
        os.setsid()
        sys.dont_write_bytecode = True
        if job is not None and not _exchange(*job):
            os._exit(_OTHERWISE)
        failed = False
        if items and written is not None:
            calls.watch(items[0].session)
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            failed = bool(item.session.testsfailed)
            if failed:
                break
        if written is not None:
            written.write_text(json.dumps({"seconds": calls.seconds, "tests": calls.tests}))
        code = 1 if failed else 0
    except BaseException:  # the process ends here, whatever it was
        traceback.print_exc()
    finally:
        os._exit(code)


def _exchange(module: str, within: str, source: str) -> bool:
    """Give a function the code that it has in another source; False: this is not possible."""
    name = "holdfast." + module.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    loaded = importlib.import_module(name)
    path = str(loaded.__file__)
    new, old = compile(source, path, "exec"), compile(Path(path).read_text(), path, "exec")
    found: Any = loaded
    for part in within.split("."):
        new, old = _inner(new, part), _inner(old, part)
        found = vars(found).get(part) if new is not None else None
        if isinstance(found, staticmethod | classmethod):
            found = found.__func__
        if isinstance(found, property):
            found = found.fget
        while hasattr(found, "__wrapped__"):
            found = found.__wrapped__
        if new is None or old is None or found is None or isinstance(found, FunctionType):
            break
    if not isinstance(found, FunctionType) or new is None or new == old:
        return False
    if new.co_freevars != found.__code__.co_freevars:
        return False
    found.__code__ = new
    return True


def _inner(code: CodeType | None, name: str) -> CodeType | None:
    """Return the code of a function or class in the code around it; None: none, or several."""
    inner = code.co_consts if code is not None else ()
    named = [one for one in inner if isinstance(one, CodeType) and one.co_name == name]
    return named[0] if len(named) == 1 else None
