"""A folder in which the snippets of one page are built up, file by file."""

import asyncio
import contextlib
import inspect
import io
import itertools
import linecache
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.snippets import ROOT, Block

LIMIT_S = 300.0


class Page:
    """The files and the namespace that the blocks of one page make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names = ModuleType("page")
        sys.modules["page"] = self._names
        self._numbers = itertools.count(1)

    def run(self, block: Block) -> str:
        """Write or execute a Python block, then its tests; return what it printed."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            known = set(vars(self._names))
            if block.path is not None:
                self._write(block.path, block.text)
                if Path(block.path).name.startswith("test_"):
                    self._execute(block.text)
            else:
                self._execute(block.text)
            self._test(known)
        return printed.getvalue()

    def _write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        for package in Path(path).parents[:-1]:
            (self.folder / package / "__init__.py").touch()
        with file.open("a") as opened:
            opened.write(text)

    def _execute(self, text: str) -> None:
        file = self.folder / f"block_{next(self._numbers)}.py"
        file.write_text(text)
        linecache.checkcache(str(file))
        exec(compile(text, str(file), "exec"), vars(self._names))

    def _test(self, known: set[str]) -> None:
        for name, function in list(vars(self._names).items()):
            if name.startswith("test_") and name not in known:
                outcome = function()
                if inspect.iscoroutine(outcome):
                    asyncio.run(outcome)

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run `holdfast` in the page's folder; return its exit code and what it printed."""
        ended = subprocess.run(
            [sys.executable, "-m", "holdfast.cli", *arguments],
            cwd=self.folder,
            env={"PYTHONPATH": str(ROOT), "PATH": "", "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
        )
        return ended.returncode, ended.stdout


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """An empty page; what it imported is forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield Page(tmp_path)
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if name == "page" or file.startswith(str(tmp_path)):
            del sys.modules[name]
