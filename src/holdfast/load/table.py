"""The figures of a load for a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from holdfast.load.result import ALL, COLUMNS, LevelResult, rows

_WORDS = ("rate", "tier")
_UNITS = (
    "offered and good a second; share of the capacity; p50, p99 and ref50 (of refusals) in ms; "
    "quiet in s"
)


def drawn(levels: Sequence[LevelResult]) -> Group:
    """Return the table, which fits into 80 columns, and what its columns are measured in."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in _WORDS else "right", no_wrap=True)
    for row in rows(levels):
        cells = ("-" if cell is None else str(cell) for cell in row.values())
        table.add_row(*map(Text, cells), style="bold" if row["tier"] == ALL else "")
    return Group(table, "", Text(_UNITS))
