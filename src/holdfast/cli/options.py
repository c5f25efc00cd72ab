"""The arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

SystemName = Annotated[
    str,
    typer.Argument(
        metavar="SYSTEM",
        help="A module, such as `shop`, or `module:attribute`.",
        show_default=False,
    ),
]
DataFolderPath = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="FOLDER", help="The data folder; .holdfast/SYSTEM without this."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="List at most so many.")]


def _host(given: str) -> str:
    from holdfast.communication import Origin  # commands that only look need no network

    try:
        Origin.of(given, 0)
    except ValueError as exc:
        raise typer.BadParameter(f"{given!r}: write a socket as unix:/path/of.sock") from exc
    return given


Host = Annotated[
    str,
    typer.Option("--host", callback=_host, help="The address to listen on, or unix:/path/of.sock."),
]
Port = Annotated[
    int, typer.Option("--port", min=0, max=65_535, help="The gateway's port; 0: any free one.")
]
OpsPort = Annotated[
    int | None,
    typer.Option(
        "--ops-port",
        min=0,
        max=65_535,
        help="The port of health checks and metrics; the one after --port without this.",
    ),
]


def data_folder(given: Path | None, system: str) -> Path:
    """Return where a system keeps its data: as given, or `.holdfast/<system>` right here."""
    return given if given is not None else Path(".holdfast") / system
