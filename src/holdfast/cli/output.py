"""What commands print: tables for people, tab-separated lines and JSON for programs."""

import sys
from collections.abc import Mapping, Sequence

import msgspec


def complain(text: str) -> None:
    """Print one line on stderr."""
    print(f"holdfast: {text}", file=sys.stderr)


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_rows(
    rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, nothing: str
) -> None:
    """Print some columns of rows: as a table on a terminal, tab-separated without titles else.

    Args:
        nothing: what a person is told when there are no rows.
    """
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    if not sys.stdout.isatty():
        for line in cells:
            print("\t".join(line))
        return
    if not cells:
        print(nothing)
        return
    from rich import box  # only for terminals: pipes need not wait for it
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for line in cells:
        table.add_row(*map(Text, line))
    Console().print(table)


def first_line(text: str | None) -> str | None:
    """Return the first line of an error, for a list."""
    return text.split("\n", 1)[0] if text else None


def newest_error(lines: Sequence[str]) -> list[str]:
    """Return the lines of the newest of several errors; further lines of one are indented."""
    starts = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    return [line.strip() for line in lines[starts[-1] if starts else 0 :]]


def cell(value: object) -> str:
    """Return a value as text for one cell: one line, nothing that moves a terminal's cursor."""
    if value is None:
        return "-"
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = msgspec.json.encode(value).decode()
    return "".join(c if c.isprintable() else " " for c in text)
