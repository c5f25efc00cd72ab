"""The command `holdfast`: finds the file of the command that is wanted, and reports errors.

Exit codes: 0 it went well; 1 it was refused (a wrong declaration or setting, a busy folder or
port); 2 what was typed does not exist or does not fit.
"""

import atexit
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from holdfast.cli.output import complain
from holdfast.errors import DeclarationError, HoldfastError, Invalid, SettingError, UnknownName

COMMANDS = {
    "run": "Serve all services of a system in this process.",
    "serve": "Serve only the named services of a system.",
    "check": "Print what is wrong with a declaration.",
    "graph": "Print who sends what to whom.",
    "render": "Write rules, alerts and dashboards that follow from a declaration.",
    "certify": "Issue the certificates of a system's workloads, where nothing else does.",
    "migrate": "Bring databases to the newest revision of their tables.",
    "provision": "Make the streams of a system on its broker, or update them.",
    "send": "Send a command to the service that handles it, or an event to all who hear it.",
    "status": "Show the live graph: rate, errors, latency and backlog, and how each service does.",
    "trace": "Tell the whole story of an order: what happened, what it waits for, what to do.",
    "logs": "Print and follow the log lines of all local processes, also of one order alone.",
    "sagas": "List sagas, show one, retry a parked one, or cancel one.",
    "audit": "Show who did what with which authority, and check that nothing was changed.",
    "letters": "Have letters that wait tried now.",
    "dead-letters": "List, show, replay or drop dead letters.",
    "sim": "Simulate a system under faults, in virtual time.",
    "load": "Put load on a system, by clients that come at their own rate, and tell how it does.",
    "demo": "Run a system's demo, such as the shop's.",
}
"""{command: what it is for}; each lives in the file of its name."""


def main() -> None:
    """Run the command line and exit."""
    # What is imported stays: looking for garbage in it is a sixth of a short command's CPU. Those
    # that serve look more often, once they are ready.
    gc.set_threshold(200_000, 20, 20)
    # Nor does it help to look for it once more at the end, which is another eighth.
    atexit.register(gc.freeze)
    try:
        _app(sys.argv[1:])(prog_name="holdfast")
    except HoldfastError as exc:
        raise SystemExit(report(exc)) from None


def report(error: HoldfastError) -> int:
    """Print an error, a line for each problem; return the exit code."""
    lines = str(error).splitlines() or [""]
    if isinstance(error, DeclarationError | SettingError):
        lines = list(error.problems)
    for line in lines:
        complain(line)
    return 2 if isinstance(error, UnknownName | Invalid) else 1


def _app(arguments: Sequence[str]) -> typer.Typer:
    """Return the app, with only the wanted command imported: `holdfast --help` must be quick."""
    app = typer.Typer(
        name="holdfast",
        help="Runs, checks and operates systems that are declared with Holdfast.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_holdfast)
    for name, line in COMMANDS.items():
        if name != next(iter(arguments), None):
            app.command(name, help=line)(_not_wanted)
            continue
        command = import_module(f"holdfast.cli.{name.replace('-', '_')}").command
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, help=line)
        else:
            app.command(name)(command)
    return app


def _not_wanted() -> None:
    """Stand in for a command that is not wanted now."""


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"holdfast {version('holdfast')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version."),
]


def _holdfast(version: Version = False) -> None:
    """Take what stands before the command."""
