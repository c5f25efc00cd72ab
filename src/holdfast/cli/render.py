"""`holdfast render`: what would otherwise be kept by hand beside the declaration."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from holdfast.cli.load import load
from holdfast.cli.options import AsJson, SystemName
from holdfast.cli.output import print_json
from holdfast.delivery import RUNBOOKS, observability, strangers, write

Only = Annotated[
    Literal["observability"], typer.Option("--only", help="Render one part; all without this.")
]
To = Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where to write.")]
Runbooks = Annotated[
    str,
    typer.Option(
        "--runbooks",
        metavar="URL",
        help="Where the pages of the alerts will be served; alerts link to them.",
    ),
]


def command(
    system: SystemName,
    to: To,
    only: Only = "observability",
    runbooks: Runbooks = RUNBOOKS,
    as_json: AsJson = False,
) -> None:
    """Write what is derived from a system's declaration: rules, alerts, dashboards and the like.

    The same declaration gives the same bytes. A file that was not rendered is not written over.
    """
    loaded = load(system)
    loaded.system.check()
    files = observability(loaded.system, typed=loaded.name, runbooks=runbooks.rstrip("/"))
    changed = write(files, to)
    left = strangers(files, to, only)
    if as_json:
        print_json({"files": sorted(files), "written": changed, "undeclared": left})
        return
    for path in changed:
        print(to / path)
    for path in left:
        print(f"{to / path} is not declared any more")
    print(f"{len(changed)} of {len(files)} files written to {to}")
