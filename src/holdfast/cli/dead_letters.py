"""`holdfast dead-letters`: what could not be handled, and what becomes of it."""

from typing import Annotated

import typer

from holdfast.cli.named import load
from holdfast.cli.options import AsJson, DataFolderPath, Limit, SystemName
from holdfast.cli.output import cell, newest_error, print_json, print_rows
from holdfast.cli.owner import perform
from holdfast.contract.model import JsonObject

command = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

LetterId = Annotated[str, typer.Argument(metavar="ID", help="The letter.", show_default=False)]
Dry = Annotated[bool, typer.Option("--dry", help="Only show what would run.")]

_COLUMNS = ("id", "service", "sender", "type", "attention", "tries", "reached", "sent_at", "error")
_FIELDS = (
    *("service", "sender", "kind", "state", "attention", "tries", "reached", "sent_at", "due_at"),
    "correlation",
)


@command.command("list")
def list_letters(
    system: SystemName, data: DataFolderPath = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List letters that are dead, wait for another version, or fail for ever; oldest first."""
    letters = perform(load(system).system, data, "dead-letters", limit=limit)
    if as_json:
        print_json(letters)
        return
    shown = [letter | {"error": _newest(letter["error"])} for letter in letters]
    print_rows(shown, _COLUMNS, nothing="No letter needs you.")


@command.command("show")
def show_letter(
    system: SystemName, letter: LetterId, data: DataFolderPath = None, as_json: AsJson = False
) -> None:
    """Show one dead letter, with the error of every try."""
    _print(perform(load(system).system, data, "dead-letter", id=letter), as_json)


@command.command("replay")
def requeue_letter(
    system: SystemName,
    letter: LetterId,
    dry: Dry = False,
    data: DataFolderPath = None,
    as_json: AsJson = False,
) -> None:
    """Have a dead letter tried again."""
    result = perform(load(system).system, data, "replay", id=letter, dry=dry)
    if as_json or dry:
        _print(result, as_json)
        return
    print(f"{result['type']} {letter} is due again in {result['service']}")


@command.command("drop")
def drop_letter(
    system: SystemName, letter: LetterId, data: DataFolderPath = None, as_json: AsJson = False
) -> None:
    """Give a dead letter up; its sender learns that it was refused."""
    result = perform(load(system).system, data, "drop", id=letter)
    if as_json:
        _print(result, as_json)
        return
    print(f"{result['type']} {letter} was dropped by {result['service']}")


def _print(letter: JsonObject, as_json: bool) -> None:
    if as_json:
        print_json(letter)
        return
    print(f"{letter['type']} {letter['id']}")
    fields = (*_FIELDS, "would") if "would" in letter else _FIELDS
    width = max(map(len, fields))
    for field in fields:
        print(f"  {field.replace('_', ' '):<{width}}  {cell(letter[field])}")
    print(f"  {'body':<{width}}  {cell(letter['body'])}")
    for line in str(letter["error"] or "").splitlines():
        print(f"  {'error':<{width}}  {cell(line)}".rstrip())


def _newest(error: str | None) -> str | None:
    return newest_error(error.splitlines())[0] if error else None
