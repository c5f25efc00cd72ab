"""Which functions of ours each test calls, and how long it takes: who meets a mutant, and when."""

import threading
import time
from collections import defaultdict
from collections.abc import Generator
from cProfile import Profile
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import holdfast

_SOURCE = str(Path(holdfast.__file__).parent) + "/"

EVERYBODY = "*"
"""Instead of a test: what a fixture called that several tests share."""


class Calls:
    """Watches tests as they are run, once, without a mutant.

    Attributes:
        seconds: {test: how long it took}.
        tests: {function, as `resilience/retry.py backoff_s`: the tests that call it}.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.tests = defaultdict[str, list[str]](list)
        self._profile = Profile(subcalls=False, builtins=False)
        self._who = EVERYBODY
        self._elsewhere: set[CodeType] = set()  # in threads, of which a Profile knows nothing

    def watch(self, session: pytest.Session) -> None:
        """Begin, in every thread from now on."""
        session.config.pluginmanager.register(self)
        threading.setprofile(self._note)

    def _note(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            self._elsewhere.add(frame.f_code)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note what a test calls; what of it is not ours is left out."""
        self._who, began = item.nodeid, time.monotonic()
        self._profile.enable()
        try:
            return (yield)
        finally:
            self._profile.disable()
            self.seconds[item.nodeid] = time.monotonic() - began
            self._write_down(self._who)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Note what is called once for several tests: any of them may notice."""
        if fixturedef.scope == "function":
            return (yield)
        self._profile.disable()
        self._write_down(self._who)
        self._profile.enable()
        try:
            return (yield)
        finally:
            self._profile.disable()
            self._write_down(EVERYBODY)
            self._profile.enable()

    def _write_down(self, who: str) -> None:
        called = {entry.code for entry in self._profile.getstats()} | self._elsewhere
        self._profile.clear()
        self._elsewhere.clear()
        for code in called:
            if isinstance(code, str):
                continue  # it is none of Python's
            file = code.co_filename
            if file.startswith(_SOURCE):
                name = code.co_qualname.replace(".<locals>", "")
                self.tests[f"{file.removeprefix(_SOURCE)} {name}"].append(who)
