"""`holdfast check`: is the declaration right?"""

import typer

from holdfast.cli.load import load
from holdfast.cli.options import AsJson, SystemName
from holdfast.cli.output import print_json
from holdfast.errors import DeclarationError


def command(system: SystemName, as_json: AsJson = False) -> None:
    """Print what is wrong with a system's declaration; exit 1 if anything is."""
    problems: tuple[str, ...] = ()
    services = edges = 0
    try:
        declared = load(system).system
        declared.check()
        graph = declared.graph()
        services, edges = len(graph.services), len(graph.edges)
    except DeclarationError as exc:
        problems = exc.problems
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    elif problems:
        print("\n".join(problems))
    else:
        print(f"ok: {_count(services, 'service')}, {_count(edges, 'edge')}")
    if problems:
        raise typer.Exit(1)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
