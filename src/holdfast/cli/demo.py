"""`holdfast demo`: a system shows what it promises."""

from typing import Annotated

import typer

from holdfast.cli.named import demo_of

Name = Annotated[str, typer.Argument(metavar="[SYSTEM]", help="The system.")]
Orders = Annotated[int, typer.Option("--orders", min=10, max=100_000, help="How much work.")]


def command(system: Name = "shop", orders: Orders = 500) -> None:
    """Run a system's demo, such as the shop's: orders, a SIGKILL, and the books.

    It is the function `main(orders=…)` of the module `<package>.demo`, which returns the
    exit code.
    """
    raise typer.Exit(demo_of(system).main(orders=orders))
