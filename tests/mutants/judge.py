"""Lets mutants meet tests, in a copy of the repository: many at once by `forks`, or one by one.

Nothing here is touched, and all of it may be edited meanwhile.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from tests.mutants import forks
from tests.mutants.changes import Mutant

_NOT_COPIED = (".git", ".venv", ".holdfast", "__pycache__", ".*_cache", ".hypothesis")


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
        self._jobs, self._verdicts = folder / "jobs", folder / "verdicts"
        self._limits_s: dict[tuple[str, ...], float] = {}
        self._turn = 0
        shutil.copytree(root, self._copy, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        (self._copy / ".venv").symlink_to(root / ".venv")
        self._environ = {
            **os.environ,
            "PYTHONPATH": str(self._copy / "src"),  # before what is installed
            "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
            forks.JOBS: str(self._jobs),
            forks.VERDICTS: str(self._verdicts),
        }

    def sift(self, mutants: Sequence[Mutant], tests: Sequence[str]) -> list[Verdict | None]:
        """Return what became of each with these tests; None: it needs a process of its own.

        Raises:
            RuntimeError: they fail as things are; nothing could be said of a mutant.
        """
        self._jobs.write_text(json.dumps([(one.module, one.within, one.code) for one in mutants]))
        self._verdicts.unlink(missing_ok=True)
        said = self._pytest(["-p", "tests.mutants.forks", *tests], None)[1]
        words = json.loads(self._verdicts.read_text()) if self._verdicts.exists() else []
        if words[:1] != [Verdict.SURVIVED]:
            raise RuntimeError(f"they fail without a mutant:\n{said}")
        return [None if word == "otherwise" else Verdict(word) for word in words[1:]]

    def judge(self, mutant: Mutant, tests: Sequence[str]) -> Verdict:
        """Run the tests, the first failure ending them, in a process that knows the mutant alone.

        Raises:
            RuntimeError: they fail as things are.
        """
        if tuple(tests) not in self._limits_s:
            began = time.monotonic()
            code, said = self._pytest(tests, None)
            if code != 0:
                raise RuntimeError(f"they fail without a mutant:\n{said}")
            self._limits_s[tuple(tests)] = 20 + 4 * (time.monotonic() - began)
        path = self._copy / "src" / "holdfast" / mutant.module
        original, dated = path.read_text(), path.stat().st_mtime_ns
        path.write_text(mutant.code)
        self._turn += 1  # a date of its own, or Python would take what it compiled before
        os.utime(path, (self._turn, self._turn))
        try:
            code, _ = self._pytest(tests, self._limits_s[tuple(tests)])
        finally:
            path.write_text(original)
            os.utime(path, ns=(dated, dated))
        return {0: Verdict.SURVIVED, None: Verdict.ENDLESS}.get(code, Verdict.KILLED)

    def _pytest(self, tests: Sequence[str], limit_s: float | None) -> tuple[int | None, str]:
        """Run pytest; return its code, None if it was ended, and what it said."""
        quick = ["-qq", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--timeout=60"]
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *quick, *tests],
            cwd=self._copy,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with whatever the tests have started
            process.communicate()
            return None, ""
        return process.returncode, said[-3_000:]
