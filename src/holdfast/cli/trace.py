"""`holdfast trace`: the story of an order, from the databases of all services."""

from pathlib import Path
from typing import Annotated

import typer
import uvloop

from holdfast.cli.named import Loaded, load
from holdfast.cli.options import AsJson, DataFolderPath, SystemName, data_folder
from holdfast.cli.output import print_json
from holdfast.errors import Invalid, UnknownName, Unreachable
from holdfast.runtime.environment import environment
from holdfast.story import (
    OrderRows,
    OrderStory,
    Wanted,
    databases_of,
    diagram,
    document,
    find,
    lines,
    runs,
    tell,
    wanted,
)

Id = Annotated[
    str | None,
    typer.Argument(
        metavar="[ID]",
        help="A correlation id, a trace id, an Idempotency-Key, or the id of a saga or a letter.",
        show_default=False,
    ),
]
About = Annotated[
    str | None,
    typer.Option(
        "--about",
        metavar="FIELD=VALUE",
        help="A field of a letter's or a saga's body instead, such as order_id=….",
        show_default=False,
    ),
]
AsMermaid = Annotated[bool, typer.Option("--mermaid", help="Print a sequence diagram of Mermaid.")]


def command(
    system: SystemName,
    asked: Id = None,
    about: About = None,
    data: DataFolderPath = None,
    as_mermaid: AsMermaid = False,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story of an order: what happened, what it waits for, what you can do.

    It reads the databases of all services, whether the system runs or not, and writes nothing:
    those that DATABASE_URL names, or those of the data folder. What is not kept any more it says.
    """
    if as_mermaid and as_json:
        raise Invalid("--mermaid and --json are one each")
    story = told(load(system), wanted(asked, about), data)
    if as_json:
        print_json(document(story))
        return
    for line in diagram(story) if as_mermaid else lines(story):
        print(line)


def told(loaded: Loaded, meant: Wanted, data: Path | None) -> OrderStory:
    """Return the story of an order.

    Raises:
        UnknownName: nothing is known of it.
        Unreachable: a database could not be read, and the others know nothing of it.
    """
    system, folder = loaded.system, data_folder(data, loaded.system.name)
    environ = environment(system)
    is_up = runs(system, folder, environ)
    held = uvloop.run(_read(loaded, meant, data))
    story = tell(system, held, meant, typed=loaded.typed(data), runs=is_up)
    if story.entries or story.open:
        return story
    unread = [f"{one.service}: {one.trouble}" for one in held if one.trouble]
    if unread:
        raise Unreachable(f"{meant.asked} is not known, but not all was read: {'; '.join(unread)}")
    raise UnknownName(
        f"nothing is known of {meant.asked}: a settled order is kept for a day after its saga "
        "has ended, and one without a saga until its letters are settled"
    )


async def _read(loaded: Loaded, meant: Wanted, data: Path | None) -> list[OrderRows]:
    folder = data_folder(data, loaded.system.name)
    where = databases_of(
        loaded.system, folder, environment(loaded.system), typed=loaded.typed(data)
    )
    async with where as databases:
        return await find(loaded.system, databases, meant)
