"""`holdfast graph`: the system as a graph."""

from typing import Annotated

import typer

from holdfast.cli.load import load
from holdfast.cli.options import AsJson, SystemName
from holdfast.cli.output import print_json, print_rows

AsMermaid = Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart.")]


def command(system: SystemName, as_json: AsJson = False, mermaid: AsMermaid = False) -> None:
    """Print who sends what to whom."""
    if as_json and mermaid:
        raise typer.BadParameter("choose one of --json and --mermaid")
    graph = load(system).system.graph()
    if as_json:
        print_json(graph.to_json())
    elif mermaid:
        print(graph.to_mermaid(), end="")
    else:
        document = graph.to_json()
        columns = ("sender", "receiver", "kind", "message")
        print_rows(document["edges"], columns, nothing="No service sends anything.")
