"""`holdfast check`: is the declaration right?"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.named import load
from holdfast.cli.options import AsJson, SystemName, data_folder
from holdfast.cli.output import print_json
from holdfast.errors import DeclarationError
from holdfast.runtime.environment import environment
from holdfast.runtime.strangers import strangers_in
from holdfast.runtime.variables import DATABASE_URL, names_database

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Also look whether this version knows what is under way in the folder's databases; "
        f"those that {DATABASE_URL} names are looked at without this.",
    ),
]


def command(system: SystemName, data: Data = None, as_json: AsJson = False) -> None:
    """Print what is wrong with a system's declaration, or with its data; exit 1 if anything is."""
    problems: tuple[str, ...] = ()
    services = edges = 0
    looked = ""
    try:
        declared = load(system).system
        declared.check()
        graph = declared.graph()
        services, edges = len(graph.services), len(graph.edges)
        environ = environment(declared)
        if data is not None or any(names_database(name) for name in environ):
            folder = data_folder(data, declared.name)
            found, lines = asyncio.run(strangers_in(declared, folder, environ))
            problems = tuple(lines)
            looked = f"; looked into {_count(found, 'database')}"
    except DeclarationError as exc:
        problems = exc.problems
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    elif problems:
        print("\n".join(problems))
    else:
        print(f"ok: {_count(services, 'service')}, {_count(edges, 'edge')}{looked}")
    if problems:
        raise typer.Exit(1)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
