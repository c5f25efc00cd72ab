"""`holdfast send`: a command or an event, by hand."""

from typing import Annotated

import typer

from holdfast.cli.named import load
from holdfast.cli.options import AsJson, DataFolderPath, SystemName
from holdfast.cli.output import print_json
from holdfast.cli.owner import perform

Message = Annotated[
    str,
    typer.Argument(
        metavar="MESSAGE",
        help="A command or an event, such as `Restock`; of several versions the newest, or "
        "`Restock.v1`.",
        show_default=False,
    ),
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
    """Send a command to the service that handles it, or an event to all who hear it.

    It is stored when this returns, and handled when the system runs.
    """
    sent = perform(load(system).system, data, "send", message=message, body=body)
    if as_json:
        print_json(sent)
    elif "heard_by" in sent:
        heard_by = ", ".join(sent["heard_by"]) or "nobody"
        print(f"{message} is published by {sent['service']}, for {heard_by}")
    else:
        print(f"{message} is in the inbox of {sent['service']} as letter {sent['letter']}")
