"""`holdfast send`: a command, by hand."""

from typing import Annotated

import typer

from holdfast.cli.load import load
from holdfast.cli.options import AsJson, DataFolderPath, SystemName
from holdfast.cli.output import print_json
from holdfast.cli.owner import perform

Message = Annotated[
    str, typer.Argument(metavar="MESSAGE", help="A command, such as `Restock`.", show_default=False)
]
Body = Annotated[
    str, typer.Argument(metavar="JSON", help="Its fields as a JSON object.", show_default=False)
]


def command(
    system: SystemName,
    message: Message,
    body: Body,
    data: DataFolderPath = None,
    as_json: AsJson = False,
) -> None:
    """Send a command to the service that handles it.

    It is safe in that service's inbox when this returns, and handled when the system runs.
    """
    sent = perform(load(system).system, data, "send", message=message, body=body)
    if as_json:
        print_json(sent)
    else:
        print(f"{message} is in the inbox of {sent['service']} as letter {sent['letter']}")
