"""Each alert has its page: first what shows the evidence, and at the end what mends it."""

import re
import shlex
from importlib import import_module

import pytest
import typer

from holdfast.delivery import runbook
from holdfast.delivery.alerts import ALERTS
from tests.docs.snippets import ROOT

BLOCK = re.compile(r"```console\n((?:\$ holdfast .+\n)+)```\n")


def commands(page: str) -> list[str]:
    """Return every command of a page, in blocks and in lines."""
    blocks = [line[2:] for block in BLOCK.findall(page) for line in block.splitlines()]
    return blocks + re.findall(r"`(holdfast [a-z][^`]*)`", page)


@pytest.mark.parametrize("alert", ALERTS)
def test_a_page_begins_with_the_evidence_and_ends_with_what_mends(alert: str) -> None:
    """Nobody reads at night before there is something to type."""
    page = runbook(alert)

    title, first, rest = page.partition("\n\n")
    assert title == f"# {alert}" and first
    assert BLOCK.match(rest)
    assert BLOCK.fullmatch(page[page.rindex("```console") :])
    assert len(BLOCK.findall(page)) >= 2


@pytest.mark.parametrize("alert", ALERTS)
def test_each_command_of_a_page_is_one(alert: str) -> None:
    """The command line itself takes it, with a name and an id in the places of theirs."""
    found = commands(runbook(alert))

    assert found
    for command in found:
        name, *arguments = shlex.split(command)[1:]
        parse(name, arguments)


def test_a_command_that_is_none_is_refused() -> None:
    """So that the test before this one can fail."""
    for command in ("sagas lists SYSTEM", "sagas list SYSTEM --sate parked", "letters retry-now"):
        name, *arguments = command.split()
        with pytest.raises(Exception, match=r"(?i)no such|missing"):
            parse(name, arguments)


def parse(name: str, arguments: list[str]) -> None:
    """Parse a command without running it. Raises UsageError."""
    module = import_module(f"holdfast.cli.{name.replace('-', '_')}").command
    app = module
    if not isinstance(module, typer.Typer):
        app = typer.Typer()
        app.command(name)(module)
    command = typer.main.get_command(app)
    context = command.make_context(name, list(arguments), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        sub_name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(sub_name, rest, parent=context)


def test_the_pages_are_among_the_documents() -> None:
    """And no page is left of an alert that is gone."""
    pages = {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")}

    assert pages == set(ALERTS)
