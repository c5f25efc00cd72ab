"""The Dockerfile: what is locked, what goes along, and as whom it runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import Build, Deploy, Service, System
from holdfast.delivery.images import LOCK
from holdfast.delivery.parts import RenderedPart, render, rendering_of
from shop.system import shop

_NOTES = "import urllib.request as r; r.urlopen = lambda url, **_: print(url)\n"
"""Lets a health check tell where it asks."""
DIGEST = f"sha256:{'ab' * 32}"
BLOG = System("blog", [Service("posts"), Service("search")], deploy=Deploy())


def rendered(system: System, folder: Path, typed: str = "") -> dict[str, str]:
    """Return what is rendered of this part."""
    rendering = rendering_of(system, folder, typed=typed or system.name)
    return render(rendering, (RenderedPart.IMAGE,))


def dockerfile(files: dict[str, str]) -> list[tuple[str, str]]:
    """Return (instruction, arguments) of all lines."""
    text = files["image/Dockerfile"].replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def stages(files: dict[str, str]) -> list[list[tuple[str, str]]]:
    """Return the instructions, stage by stage."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in dockerfile(files):
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def copied(files: dict[str, str]) -> list[str]:
    """Return what is taken from the repository."""
    return [
        rest.split()[0]
        for word, rest in dockerfile(files)
        if word == "COPY" and not rest.startswith("--from=")
    ]


def allowed(files: dict[str, str]) -> list[str]:
    """Return what of the repository is seen."""
    lines = files["image/Dockerfile.dockerignore"].splitlines()
    return [line.removeprefix("!/") for line in lines if line.startswith("!")]


@pytest.mark.parametrize("system", [shop, BLOG], ids=lambda system: system.name)
def test_what_is_copied_is_all_that_is_seen(system: System, tmp_path: Path) -> None:
    """The rest of the repository, its history and its secrets, is not even sent to the builder."""
    files = rendered(system, tmp_path)

    assert sorted(copied(files)) == sorted(allowed(files))
    lines = files["image/Dockerfile.dockerignore"].splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"  # nothing, but for what follows
    assert patterns[-1] == "**/.*"  # and no hidden file of that


def test_what_the_shop_copies_is_there(tmp_path: Path) -> None:
    """Its declaration names files of this repository."""
    root = Path(__file__).parents[2]

    assert all((root / path).exists() for path in copied(rendered(shop, tmp_path)))


def test_without_more_it_is_a_lock_and_a_package(tmp_path: Path) -> None:
    """Who has neither a project nor other folders says nothing of it."""
    assert copied(rendered(BLOG, tmp_path, "blog.system:blog")) == ["requirements.txt", "blog"]


def test_a_project_is_built_from_locked_packages(tmp_path: Path) -> None:
    """Whatever is installed has a hash, or is the project itself, which takes nothing along."""
    build = Build(
        requirements="locks/app.txt",
        sources=[],
        project=["pyproject.toml", "src"],
        backend="locks/backend.txt",
    )
    system = System("blog", [Service("posts")], deploy=Deploy(build=build))

    files = rendered(system, tmp_path)

    assert copied(files) == ["locks/app.txt", "locks/backend.txt", "pyproject.toml", "src"]
    runs = [rest for word, rest in dockerfile(files) if word == "RUN"]
    commands = [c for rest in runs for c in rest.split("&&") if "/bin/pip " in c]
    assert len(commands) == 4
    assert all("--require-hashes" in c or "--no-deps" in c for c in commands)
    assert sum("--require-hashes" in c for c in commands) == 2


def test_both_stages_begin_at_the_locked_digest(tmp_path: Path) -> None:
    """A tag may be moved between the two."""
    (tmp_path / LOCK).write_text(f'[servers]\npython = "{DIGEST}"\n')

    files = rendered(shop, tmp_path)

    froms = [rest for word, rest in dockerfile(files) if word == "FROM"]
    assert len(froms) == 2
    assert all(f"@{DIGEST}" in name for name in froms)


def test_it_runs_as_a_number_and_only_as_that(tmp_path: Path) -> None:
    """A name could be root's; Kubernetes cannot tell, and refuses it."""
    _, last = stages(rendered(shop, tmp_path))
    words = [word for word, _ in last]

    assert [rest for word, rest in last if word == "USER"] == ["10001:10001"]
    assert not {"RUN", "COPY", "ADD"} & set(words[words.index("USER") :])
    assert {"CMD", "VOLUME", "ARG"} & set(words) == set()


def test_signals_reach_the_process(tmp_path: Path) -> None:
    """No shell is between: what starts it and what asks for its health are lists of words."""
    _, last = stages(rendered(shop, tmp_path))
    said = dict(last)

    assert json.loads(said["ENTRYPOINT"]) == ["holdfast"]
    assert said["STOPSIGNAL"] == "SIGTERM"
    program, flag, code = json.loads(said["HEALTHCHECK"].partition("CMD ")[2])
    assert (program, flag) == ("python", "-c")
    assert "://127.0.0.1:8001/health/live" in code
    for given, scheme in (({}, "http"), ({"HOLDFAST_CERT": "/a"}, "https")):
        asked = subprocess.run(
            [sys.executable, "-c", f"{_NOTES}{code}"], env=given, capture_output=True, check=True
        )
        assert asked.stdout.decode().startswith(f"{scheme}://")
    compile(code, "HEALTHCHECK", "exec")


def test_the_image_is_tried_while_it_is_built(tmp_path: Path) -> None:
    """It loads the system, by what commands are given; a lock that lacks a package fails."""
    _, last = stages(rendered(BLOG, tmp_path, "blog.system:blog"))

    assert any(word == "RUN" and "holdfast check blog.system:blog " in rest for word, rest in last)
