"""`holdfast audit`: who did what with which authority, and whether it stands as it was written."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from holdfast.cli.named import load
from holdfast.cli.options import AsJson, DataFolderPath, Limit, SystemName, data_folder
from holdfast.cli.output import complain, print_json, print_rows
from holdfast.errors import Invalid, UnknownName
from holdfast.observability.chain import entry_of
from holdfast.observability.chain_check import ChainReader, VerifiedChain
from holdfast.runtime.audit_file import NAME, audit_files, audit_folders

command = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Who = Annotated[
    str, typer.Option("--who", metavar="TEXT", help="Only of those that have this in `who`.")
]
What = Annotated[
    str,
    typer.Option(
        "--what", metavar="NAME", help="Only this kind, or those that begin so, as `operator`."
    ),
]
Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE…|-]",
        help="Of one chain the oldest first; -: stdin. All of the data folder without this.",
        show_default=False,
    ),
]
Heads = Annotated[
    list[str] | None,
    typer.Option(
        "--head",
        metavar="CHAIN:SEQ:HASH",
        help="An entry that must be there, as the log's `audit.head` tells; several times.",
        show_default=False,
    ),
]

_COLUMNS = ("ts", "what", "who", "authority", "on", "outcome", "times")


@command.command("show")
def show(
    system: SystemName,
    who: Who = "",
    what: What = "",
    data: DataFolderPath = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Print entries of all local processes, the newest last."""
    folder = data_folder(data, load(system).system.name)
    found = [
        entry
        for path in _files_of(folder)
        for _, line in _lines(path)
        if (entry := entry_of(line)) is not None
        and who in entry.who
        and (entry.what == what or entry.what.startswith(f"{what}." if what else ""))
    ]
    newest = sorted(found, key=lambda entry: (entry.ts, entry.chain, entry.seq))[-limit:]
    shown = [msgspec.structs.asdict(entry) for entry in newest]
    if as_json:
        print_json(shown)
        return
    print_rows(shown, _COLUMNS, nothing="Nothing is written.")


@command.command("verify")
def check(
    files: Files = None, heads: Heads = None, data: DataFolderPath = None, as_json: AsJson = False
) -> None:
    """Check that entries stand as they were written; name the first line of a chain that does not.

    A file called audit….jsonl has entries alone; in any other one, and in stdin, they may stand
    among the lines of a log. Ends with 1 if something is wrong.
    """
    paths = [Path(name) for name in files or ()] or _files_of(data or Path(".holdfast"))
    found = ChainReader(dict(map(_head, heads or ())))
    for path in paths:
        found.look(_lines(path), strict=path.name.startswith("audit") and path.suffix == ".jsonl")
    problems = found.problems()
    if not found.chains and not problems:
        raise UnknownName("no entry of an audit log is in what was given")
    if as_json:
        print_json({"chains": list(map(_shown, found.chains.values())), "problems": problems})
    else:
        _print(list(found.chains.values()), found.notices)
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(1)


def _print(chains: list[VerifiedChain], notices: list[str]) -> None:
    for notice in (*notices, *(notice for chain in chains for notice in chain.notices)):
        print(notice)
    rows = [_shown(chain) for chain in chains]
    print_rows(rows, ("chain", "entries", "whole", "seq", "hash"), nothing="There is no chain.")


def _shown(chain: VerifiedChain) -> dict[str, object]:
    head = chain.head
    known = {"chain": head.chain, "seq": head.seq, "hash": head.hash}
    return {**known, "entries": chain.entries, "whole": not chain.problem}


def _head(text: str) -> tuple[tuple[str, int], str]:
    """Read `CHAIN:SEQ:HASH`. Raises Invalid."""
    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not parts[1].isdecimal():
        raise Invalid(f"--head {text}: write it as CHAIN:SEQ:HASH")
    return (parts[0], int(parts[1])), parts[2]


def _files_of(folder: Path) -> list[Path]:
    """Return the files of a system's folder, or of the folder that those of systems are in."""
    folders = [folder, *(path for path in sorted(folder.glob("*")) if path.is_dir())]
    found = dict.fromkeys(
        file for one in folders for each in audit_folders(one) for file in audit_files(each)
    )
    if not found:
        raise UnknownName(f"there is no {NAME} in {folder}; --data names another folder")
    return list(found)


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (place, line) of a file, or of stdin. Raises UnknownName."""
    name = "stdin" if str(path) == "-" else str(path)
    try:
        with sys.stdin.buffer if name == "stdin" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield f"{name}, line {number}", line
    except OSError as exc:
        raise UnknownName(f"{name}: {exc.strerror}") from exc
