"""`holdfast render`: what would otherwise be kept by hand beside the declaration."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.named import load
from holdfast.cli.options import AsJson, SystemName
from holdfast.cli.output import complain, print_json, print_rows
from holdfast.delivery import RUNBOOKS, Files, differences, strangers, write
from holdfast.delivery.parts import PARTS, RenderedPart, Rendering, render, rendering_of
from holdfast.delivery.prices import read_prices
from holdfast.delivery.release import FOLDER
from holdfast.errors import DeclarationError

if TYPE_CHECKING:
    from holdfast.delivery.cost import Spread

Only = Annotated[
    list[RenderedPart] | None, typer.Option("--only", help="Render this part; all without this.")
]
To = Annotated[
    Path | None,
    typer.Option("--to", metavar="FOLDER", help="Where to write; needed but for --cost."),
]
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

Prices = Annotated[
    Path | None,
    typer.Option(
        "--cost",
        metavar="FILE",
        help="Write nothing; print what the system costs in a month, at the prices of a file.",
    ),
]


def command(
    system: SystemName,
    to: To = None,
    only: Only = None,
    check: Check = False,
    cost: Prices = None,
    templates: Own = None,
    runbooks: Runbooks = RUNBOOKS,
    as_json: AsJson = False,
) -> None:
    """Write what a cluster needs of a system, from its declaration alone.

    The same declaration gives the same bytes. A file that was not rendered is not written over.
    """
    if to is None and cost is None:
        raise typer.BadParameter("name the folder to write to", param_hint="--to")
    loaded = load(system)
    loaded.system.check()
    to = to or Path(FOLDER)
    rendering = rendering_of(
        loaded.system,
        to,
        typed=loaded.name,
        runbooks=runbooks.rstrip("/"),
        templates=templates,
    )
    if cost is not None:
        _print_costs(rendering, cost, as_json=as_json)
        return
    parts = tuple(dict.fromkeys(only)) if only else PARTS
    if RenderedPart.KUBERNETES in parts and not loaded.system.gateway.trusted_proxies:
        complain(
            "on a cluster all clients come through proxies, and share one address and one rate: "
            "name their networks in Gateway(trusted_proxies=…)"
        )
    files = render(rendering, parts)
    left = strangers(files, to)
    if check:
        _refuse_differences(files, to, left, typed=system)
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


def _refuse_differences(files: Files, to: Path, left: Sequence[str], *, typed: str) -> None:
    """Refuse a folder that is not as rendered. Raises DeclarationError."""
    problems = differences(files, to)
    problems += [f"{to / path} is not declared any more; delete it" for path in left]
    if problems:
        again = (
            f"write them anew with `holdfast render {typed} --to {to}`; into a file that is kept, "
            "put the edge yourself"
        )
        raise DeclarationError([*problems, again])


def _print_costs(rendering: Rendering, file: Path, *, as_json: bool) -> None:
    from holdfast.delivery.cost import costs_of  # it reads YAML, which rendering need not

    prices = read_prices(
        file,
        workloads=[workload.name for workload in rendering.plan.workloads],
        environments=[environment.name for environment in rendering.system.deploy.environments],
    )
    costs = costs_of(rendering, prices)
    if as_json:
        print_json({"currency": prices.currency, "month": costs})
        return
    rows = [
        {
            "environment": cost.environment,
            "what": cost.what,
            "pods": "-" if cost.pods is None else _spread(cost.pods, "g"),
            prices.currency: _spread(cost.month, ".2f"),
        }
        for cost in costs
    ]
    print_rows(rows, list(rows[0]), nothing="nothing costs anything")


def _spread(spread: "Spread", form: str) -> str:
    """Return a number at its least, as it is expected, and at its most."""
    return " … ".join(
        format(round(at, 2), form) for at in (spread.least, spread.typical, spread.most)
    )
