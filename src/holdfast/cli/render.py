"""`holdfast render`: what would otherwise be kept by hand beside the declaration."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.load import load
from holdfast.cli.options import AsJson, SystemName
from holdfast.cli.output import print_json
from holdfast.delivery import RUNBOOKS, differences, strangers, write
from holdfast.delivery.parts import PARTS, RenderedPart, render, rendering_of
from holdfast.errors import DeclarationError

Only = Annotated[
    list[RenderedPart] | None, typer.Option("--only", help="Render this part; all without this.")
]
To = Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where to write.")]
Check = Annotated[
    bool, typer.Option("--check", help="Write nothing; exit 1 if the folder is not as rendered.")
]
Own = Annotated[
    Path | None,
    typer.Option(
        "--templates",
        metavar="FOLDER",
        help="Your own templates, which replace those of the same name.",
    ),
]
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
    only: Only = None,
    check: Check = False,
    templates: Own = None,
    runbooks: Runbooks = RUNBOOKS,
    as_json: AsJson = False,
) -> None:
    """Write what a cluster needs of a system, from its declaration alone.

    The same declaration gives the same bytes. A file that was not rendered is not written over.
    """
    loaded = load(system)
    loaded.system.check()
    rendering = rendering_of(
        loaded.system,
        to,
        typed=loaded.name,
        runbooks=runbooks.rstrip("/"),
        templates=templates,
    )
    files = render(rendering, tuple(dict.fromkeys(only)) if only else PARTS)
    left = strangers(files, to)
    if check:
        problems = differences(files, to)
        problems += [f"{to / path} is not declared any more; delete it" for path in left]
        if problems:
            again = f"write them anew with `holdfast render {system} --to {to}`"
            raise DeclarationError([*problems, again])
    changed = [] if check else write(files, to)
    if as_json:
        print_json({"files": sorted(files), "written": changed, "undeclared": left})
        return
    for path in changed:
        print(to / path)
    for path in left:
        print(f"{to / path} is not declared any more")
    said = "are as the declaration says" if check else f"written to {to}"
    print(f"{len(files) if check else len(changed)} of {len(files)} files {said}")
