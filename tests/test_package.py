"""The wheel holds what a stranger needs, and works outside of the repository."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIMIT_S = 500.0

TINY = """
from holdfast import Model, Service, System

class Hello(Model):
    word: str

greeter = Service("greeter")

@greeter.get("/v1/hello", public=True)
async def hello(word: str = "hello") -> Hello:
    return Hello(word=word)

system = System("tiny", services=[greeter])
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program without this process's paths; return what it printed. Raises on failure."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))}
    ended = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: setuptools leaves things beside what it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", folder / "src", ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    run(*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel; dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False, symlinks=True)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    python = folder / "bin" / "python"
    install = ("install", "--quiet", "--no-deps", "--no-index", wheel)
    run(*pip, "--python", python, *install, cwd=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


def test_the_wheel_has_types_and_no_shop(wheel: Path) -> None:
    """The package says that it is typed, brings its licence, and leaves the example at home."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert "holdfast/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"holdfast"}
    for file in (ROOT / "src" / "holdfast").rglob("*.py"):
        assert file.relative_to(ROOT / "src").as_posix() in names


def packages_of_extras() -> list[str]:
    """Return the modules that come with extras, and what those need besides."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = {re.split(r"[<>=~]", line)[0].lower() for extra in extras for line in extra}
    named = {
        module
        for module, distributions in packages_distributions().items()
        if wanted & {one.lower().replace("_", "-") for one in distributions}
    }
    return sorted(named)


def test_nothing_of_an_extra_is_needed_without_it(installed: Path, tmp_path: Path) -> None:
    """All commands are there, and a system runs, where no extra is installed."""
    (tmp_path / "tiny.py").write_text(TINY)
    script = (
        "import asyncio, importlib, pkgutil, sys\n"
        f"for name in {packages_of_extras()}:\n"
        "    sys.modules[name] = None  # whoever imports it is told that it is not there\n"
        "import holdfast.cli, tiny\n"
        "from holdfast.errors import SettingError\n"
        "from holdfast.testing import running\n"
        "for one in pkgutil.iter_modules(holdfast.cli.__path__, 'holdfast.cli.'):\n"
        "    try:\n"
        "        one.name.endswith('__main__') or importlib.import_module(one.name)\n"
        "    except SettingError as exc:  # a command that needs one says which\n"
        "        assert 'pip install holdfast[' in str(exc), exc\n"
        "async def main():\n"
        "    async with running(tiny.system) as system:\n"
        "        print((await system.client.get('/v1/hello')).json())\n"
        "asyncio.run(main())\n"
    )

    assert {"asyncpg", "greenlet", "nats", "redis"} <= set(packages_of_extras())
    assert run(installed / "python", "-c", script, cwd=tmp_path) == "{'word': 'hello'}\n"


def test_it_works_outside_of_the_repository(installed: Path, tmp_path: Path) -> None:
    """The installed package, not the source, imports, and its command checks a system."""
    (tmp_path / "tiny.py").write_text(TINY)

    where = run(
        installed / "python", "-c", "import holdfast; print(holdfast.__file__)", cwd=tmp_path
    )
    told = run(installed / "holdfast", "check", "tiny", cwd=tmp_path)

    assert Path(where.strip()).is_relative_to(installed.parent)
    assert told == "ok: 1 service, 1 edge\n"


def test_it_serves_outside_of_the_repository(installed: Path, tmp_path: Path) -> None:
    """A system runs from the wheel alone, with nothing of the repository in reach."""
    (tmp_path / "tiny.py").write_text(TINY)
    script = (
        "import asyncio, tiny\n"
        "from holdfast.testing import running\n"
        "async def main():\n"
        "    async with running(tiny.system) as system:\n"
        "        print((await system.client.get('/v1/hello?word=moin')).json())\n"
        "asyncio.run(main())\n"
    )

    assert run(installed / "python", "-c", script, cwd=tmp_path) == "{'word': 'moin'}\n"
