"""What an image is built from: paths of the repository, and everything locked."""

from typing import Any

import pytest

from holdfast import Build, Deploy, System
from holdfast.errors import DeclarationError

NO_BUILD: Any = "Dockerfile"


def problems(build: Build) -> tuple[str, ...]:
    """Return what is refused of it."""
    with pytest.raises(DeclarationError) as refused:
        System("shop", [], deploy=Deploy(build=build)).check_deploy()
    return tuple(refused.value.problems)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../secrets", "src/../..", "*", "a b", ".env", "src/", "", "$HOME", "a\n"],
)
def test_a_path_is_one_of_the_repository(path: str) -> None:
    """Wherever it is written; hidden files hold secrets, and patterns take what nobody looks at."""
    each = [
        Build(requirements=path),
        Build(sources=[path]),
        Build(project=["pyproject.toml", path], backend="backend.txt"),
        Build(project=["pyproject.toml"], backend=path),
        Build(development=[path]),
    ]

    said = [problems(build) for build in each]

    assert all(len(found) == 1 for found in said)
    assert all("test_build.py:" in found[0] and repr(path) in found[0] for found in said)


def test_a_project_has_its_file_and_a_locked_backend() -> None:
    """Without a lock, what builds it would be whatever is newest."""
    assert ["'pyproject.toml'" in p for p in problems(Build(project=["src"], backend="b.txt"))] == [
        True
    ]
    (said,) = problems(Build(project=["pyproject.toml"]))
    assert "build-system.requires" in said


def test_a_backend_without_a_project_builds_nothing() -> None:
    """It was meant for something that is not there."""
    (said,) = problems(Build(backend="backend.txt"))

    assert "there is no project that it builds" in said


def test_what_is_no_build_is_refused() -> None:
    """In one line, with what is wanted."""
    (said,) = problems(NO_BUILD)

    assert "Deploy(build='Dockerfile'): input should be an instance of build" in said
