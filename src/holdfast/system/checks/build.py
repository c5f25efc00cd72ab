"""Checks of what the image is built from: paths of the repository, and locks."""

import re
from collections.abc import Iterator

from holdfast.system.deploy import Deploy

PYPROJECT = "pyproject.toml"
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")


def build_problems(deploy: Deploy) -> Iterator[str]:
    """Yield what is wrong, each with its line."""
    build = deploy.build
    for name, paths in (
        ("requirements", [build.requirements]),
        ("sources", build.sources or ()),
        ("project", build.project),
        ("backend", [] if build.backend is None else [build.backend]),
        ("development", build.development),
    ):
        for path in paths:
            if not _PATH.fullmatch(path):
                yield (
                    f"{build.at}: Build({name}=…): {path!r} is none of the repository's files; "
                    "write it from its root, with letters, digits and `_-+.`, as `src/shop`"
                )
    if build.project and PYPROJECT not in build.project:
        yield (
            f"{build.at}: Build(project={list(build.project)!r}): pip finds no project there; "
            f"add {PYPROJECT!r}, and remove `project` if there is none"
        )
    if build.project and build.backend is None:
        yield (
            f"{build.at}: Build(project=…): what builds it would be whatever is newest; add "
            '`backend="…"`, a lock with hashes of its `build-system.requires`'
        )
    if build.backend is not None and not build.project:
        yield f"{build.at}: Build(backend=…): there is no project that it builds; remove it"
