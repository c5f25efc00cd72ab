"""`holdfast graph`: the system as a graph."""

from typing import Annotated

import typer

from holdfast.cli.named import load
from holdfast.cli.options import AsJson, SystemName
from holdfast.cli.output import print_json, print_rows
from holdfast.straight import source_of

AsMermaid = Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart.")]


OfRoute = Annotated[
    str,
    typer.Option(
        "--source",
        metavar="ROUTE",
        help="Print the code that serves a route, such as 'POST /v1/orders'.",
    ),
]


def command(
    system: SystemName, as_json: AsJson = False, mermaid: AsMermaid = False, source: OfRoute = ""
) -> None:
    """Print who sends what to whom, or what a route is made into."""
    if as_json + mermaid + bool(source) > 1:
        raise typer.BadParameter("choose one of --json, --mermaid and --source")
    declared = load(system).system
    if source:
        print(source_of(declared, source))
        return
    graph = declared.graph()
    if as_json:
        print_json(graph.to_json())
    elif mermaid:
        print(graph.to_mermaid(), end="")
    else:
        document = graph.to_json()
        columns = ("sender", "receiver", "kind", "message")
        print_rows(document["edges"], columns, nothing="No service sends anything.")
