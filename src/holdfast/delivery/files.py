"""Rendered files, and how they come into a folder: all of them, or none."""

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from holdfast.errors import DeclarationError

Files = dict[str, str]
"""{path below the folder: text}."""

MARK: Final = "Rendered by `holdfast render "
"""In every rendered file: one without it is somebody's own, and is never written over."""
_EDGE: Final = re.compile(r"^\s*(# edge: .*?)\s*$", re.MULTILINE)
"""A line of a rendered file for an edge of the graph, which a kept file has as well."""
_KEPT: Final = re.compile(r'^\s*(?:# holdfast: kept|"holdfast: kept",?)\s*$', re.MULTILINE)


def head(system: str, part: str = "") -> str:
    """Return the comment that begins a rendered file."""
    only = f" --only {part}" if part else ""
    return (
        f"# {MARK}{system}{only}` from the declaration of {system}.\n"
        "# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else"
        ".\n\n"
    )


def kept(text: str) -> bool:
    """Whether whoever owns a file has said that it stays as it is."""
    return _KEPT.search(text) is not None


def write(files: Files, folder: Path) -> list[str]:
    """Write what differs; return its paths. What is kept stays as it is.

    Raises:
        DeclarationError: a file is in the way, or the folder cannot be written.
    """
    changed, problems = _compare(files, folder)
    if problems:
        raise DeclarationError(problems)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".render-", dir=folder))
        try:
            for number, path in enumerate(changed):
                (beside / str(number)).write_text(files[path], encoding="utf-8")
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
            for number, path in enumerate(changed):
                if files[path].startswith("#!"):
                    (beside / str(number)).chmod(0o755)
                os.replace(beside / str(number), folder / path)
        finally:
            shutil.rmtree(beside)
    except OSError as exc:
        where = exc.filename2 or exc.filename or folder
        raise DeclarationError([f"{where}: {exc.strerror}; render to another folder"]) from exc
    return changed


def _compare(files: Files, folder: Path) -> tuple[list[str], list[str]]:
    """Return the paths to write, and what is in the way."""
    changed: list[str] = []
    problems: list[str] = []
    for path in sorted(files):
        there = folder / path
        try:
            text = there.read_text(encoding="utf-8")
        except FileNotFoundError:
            changed.append(path)
            continue
        except (OSError, UnicodeDecodeError) as exc:
            problems.append(f"{there}: it cannot be read: {exc}; move it away")
            continue
        if text == files[path] or kept(text):
            continue
        if MARK in text:
            changed.append(path)
        else:
            problems.append(f"{there} is none that was rendered; move it away, or render elsewhere")
    return changed, problems


def differences(files: Files, folder: Path) -> list[str]:
    """Return how a folder differs from what is rendered, a line each; empty when it is the same.

    A file that is kept may differ, but has each edge that the rendered one has.
    """
    found: list[str] = []
    for path in sorted(files):
        there = folder / path
        try:
            text = there.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            found.append(f"{there}: {getattr(exc, 'strerror', None) or exc}")
            continue
        if kept(text):
            lacking = dict.fromkeys(_EDGE.findall(files[path]))
            have = set(_EDGE.findall(text))
            found += [f"{there} is kept, and lacks `{e}`" for e in lacking if e not in have]
        elif text != files[path]:
            found.append(f"{there} is not what the declaration says")
    return found


def strangers(files: Files, folder: Path) -> list[str]:
    """Return rendered files of the parts that `files` has, that are declared no more; sorted."""
    found: list[str] = []
    for part in sorted({path.partition("/")[0] for path in files}):
        for there in sorted((folder / part).rglob("*")):
            path = there.relative_to(folder).as_posix()
            if path not in files and there.is_file():
                text = there.read_text(encoding="utf-8", errors="replace")
                found += [path] if MARK in text and not kept(text) else []
    return found
