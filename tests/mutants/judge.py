"""Lets mutants meet tests, in a copy of the repository: many at once by `forks`, or one by one.

The copy stands first in the path, so that nothing here is touched, and all may be edited meanwhile.
For those that need a process of their own, what tests import from elsewhere is imported once,
before it forks.
"""

import contextlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import pytest

from tests.mutants import forks
from tests.mutants.changes import Mutant

_NOT_COPIED = (".git", ".venv", ".holdfast", "__pycache__", ".*_cache", ".hypothesis")
_OURS = ("holdfast", "tests", "shop", "conftest", "benchmarks", "__main__")
_SAY = (
    "import sys, pytest; code = pytest.main(sys.argv[2:]);"
    "open(sys.argv[1], 'w').write('\\n'.join(sys.modules)); sys.exit(code)"
)


class Verdict(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    ENDLESS = "killed by time"
    SURVIVED = "survived"


class Judge:
    """A copy of the repository, in which one module at a time is another.

    Args:
        root: the repository. folder: an empty folder for the copy.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self._copy = folder / "copy"
        self._output = folder / "output"
        self._modules = folder / "modules"
        self._limits_s: dict[tuple[str, ...], float] = {}
        self._turn = 0
        shutil.copytree(root, self._copy, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        (self._copy / ".venv").symlink_to(root / ".venv")
        os.chdir(self._copy)
        os.environ["PYTHONPATH"] = str(self._copy / "src")
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")

    def prepare(self, tests: Sequence[str]) -> None:
        """See that these tests pass as things are, and how long they take.

        Raises:
            RuntimeError: they fail; nothing could be said of a mutant.
        """
        if tuple(tests) in self._limits_s:
            return
        began = time.monotonic()
        run = [sys.executable, "-c", _SAY, str(self._modules), *_arguments(tests)]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"they fail without a mutant:\n{done.stdout[-3000:]}{done.stderr}")
        self._limits_s[tuple(tests)] = 20 + 4 * (time.monotonic() - began)
        sys.path[0] = str(self._copy / "src")
        for name in self._modules.read_text().split():
            if name.partition(".")[0] not in _OURS and not name.startswith("_"):
                with contextlib.suppress(Exception):  # whatever it is: the tests will say so
                    importlib.import_module(name)
        if self._run(tests) is not Verdict.SURVIVED:
            raise RuntimeError(f"they fail when forked:\n{self._output.read_text()[-3000:]}")

    def sift(self, mutants: Sequence[Mutant], tests: Sequence[str]) -> list[Verdict | None]:
        """Return what became of each with these tests; None: it needs a process of its own."""
        jobs, verdicts = self._output.with_name("jobs"), self._output.with_name("verdicts")
        jobs.write_text(json.dumps([(one.module, one.within, one.code) for one in mutants]))
        os.environ.update({forks.JOBS: str(jobs), forks.VERDICTS: str(verdicts)})
        verdicts.unlink(missing_ok=True)
        run = [sys.executable, "-m", "pytest", "-p", "tests.mutants.forks", *_arguments(tests)]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        words = json.loads(verdicts.read_text()) if verdicts.exists() else []
        if words[:1] != [Verdict.SURVIVED]:
            raise RuntimeError(f"they fail without a mutant:\n{done.stdout[-3000:]}{done.stderr}")
        return [None if word == "otherwise" else Verdict(word) for word in words[1:]]

    def judge(self, module: str, code: str, tests: Sequence[str]) -> Verdict:
        """Run the tests, the first failure ending them, with `code` in the place of a module."""
        path = self._copy / "src" / "holdfast" / module
        original, dated = path.read_text(), path.stat().st_mtime_ns
        path.write_text(code)
        self._turn += 1  # a date of its own, or Python would take what it compiled before
        os.utime(path, (self._turn, self._turn))
        try:
            return self._run(tests)
        finally:
            path.write_text(original)
            os.utime(path, ns=(dated, dated))

    def _run(self, tests: Sequence[str]) -> Verdict:
        child = os.fork()
        if child == 0:
            _be_tests(tests, self._output)
        until = time.monotonic() + self._limits_s[tuple(tests)]
        while time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return Verdict.KILLED if status else Verdict.SURVIVED
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)  # with whatever the tests have started
        os.waitpid(child, 0)
        return Verdict.ENDLESS


def _arguments(tests: Sequence[str]) -> list[str]:
    imported_before = "ignore::pytest.PytestAssertRewriteWarning"
    quick = ["-qq", "-x", "-p", "no:cacheprovider", "-W", imported_before]
    return [*quick, "--hypothesis-seed=0", "--timeout=60", *tests]


def _be_tests(tests: Sequence[str], output: Path) -> None:
    """Be the process of the tests; does not return."""
    code = 70
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.dont_write_bytecode = True
        for name in [name for name in sys.modules if name.partition(".")[0] in _OURS[:-1]]:
            del sys.modules[name]  # the copy has its own
        code = int(pytest.main(_arguments(tests)))
    except BaseException:  # the process ends here, whatever it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
