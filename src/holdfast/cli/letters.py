"""`holdfast letters`: what waits for its next try, or to be sent again."""

from typing import Annotated

import typer

from holdfast.cli.named import load
from holdfast.cli.options import AsJson, DataFolderPath, SystemName
from holdfast.cli.output import print_json
from holdfast.cli.owner import perform
from holdfast.errors import Invalid

command = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

LetterId = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="One letter.", show_default=False)
]
Receiver = Annotated[
    str | None,
    typer.Option("--to", metavar="SERVICE", help="Those to a service.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


@command.callback()
def letters() -> None:
    """Act on letters that wait."""


@command.command("retry-now")
def retry_now(
    system: SystemName,
    letter: LetterId = None,
    to: Receiver = None,
    every: All = False,
    data: DataFolderPath = None,
    as_json: AsJson = False,
) -> None:
    """Have letters tried, or sent again, now: what they waited for is mended.

    Dead letters are none of them: `holdfast dead-letters replay`.
    """
    if (letter is not None) + (to is not None) + every != 1:
        raise Invalid("give the ID of a letter, or --to SERVICE, or --all")
    result = perform(load(system).system, data, "retry-now", id=letter, receiver=to)
    if as_json:
        print_json(result)
        return
    count = result["due_now"]
    print(f"{count} letter{'s' * (count != 1)} due now")
