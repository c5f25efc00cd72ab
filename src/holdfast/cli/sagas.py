"""`holdfast sagas`: what is under way, what became of it, a push for what is parked, and an end."""

from datetime import datetime
from typing import Annotated, Literal

import typer

from holdfast.cli.named import load
from holdfast.cli.options import AsJson, DataFolderPath, Limit, SystemName
from holdfast.cli.output import cell, first_line, newest_error, print_json, print_rows
from holdfast.cli.owner import perform
from holdfast.contract.model import JsonObject

command = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

SagaId = Annotated[str, typer.Argument(metavar="ID", help="The saga.", show_default=False)]
State = Annotated[
    Literal["running", "completed", "failed", "parked"] | None,
    typer.Option("--state", help="Only those in this state.", show_default=False),
]

_COLUMNS = ("id", "service", "type", "state", "started_at", "ended_at", "error")


@command.command("list")
def list_sagas(
    system: SystemName,
    state: State = None,
    data: DataFolderPath = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List sagas, newest first."""
    sagas = perform(load(system).system, data, "sagas", limit=limit, state=state)
    if as_json:
        print_json(sagas)
        return
    shown = [saga | {"error": first_line(saga["error"])} for saga in sagas]
    print_rows(shown, _COLUMNS, nothing="There is no saga.")


@command.command("show")
def show_saga(
    system: SystemName, saga: SagaId, data: DataFolderPath = None, as_json: AsJson = False
) -> None:
    """Show one saga as a timeline: when, what, and how it ended."""
    found = perform(load(system).system, data, "saga", id=saga)
    if as_json:
        print_json(found)
        return
    print(f"{found['type']} {found['id']} {found['state']}")
    correlation = found["correlation"] or "-"
    print(f"  of {found['service']}, version {found['version']}, correlation id {correlation}")
    print_rows(timeline(found), ("when", "after", "what", "outcome"), nothing="")


@command.command("retry")
def retry_saga(
    system: SystemName, saga: SagaId, data: DataFolderPath = None, as_json: AsJson = False
) -> None:
    """Run a parked saga again, from its recorded steps."""
    found = perform(load(system).system, data, "retry", id=saga)
    if as_json:
        print_json(found)
    else:
        print(f"{found['type']} {saga} is {found['state']}")


@command.command("cancel")
def cancel_saga(
    system: SystemName, saga: SagaId, data: DataFolderPath = None, as_json: AsJson = False
) -> None:
    """Let a saga take no further step, and undo what it did; it ends as failed."""
    found = perform(load(system).system, data, "cancel", id=saga)
    if as_json:
        print_json(found)
        return
    undoing = "; what it did is being undone" if found["state"] == "running" else ""
    print(f"{found['type']} {saga} is {found['state']}{undoing}")


def timeline(saga: JsonObject) -> list[dict[str, str]]:
    """Return the rows of a saga's timeline, from its start to its end or to what it waits for."""
    events: list[tuple[str, str, str]] = [(saga["started_at"], "start", cell(saga["input"]))]
    events += [
        (step["ended_at"], f"{step['path']} {step['kind']}", _outcome(step))
        for step in saga["steps"]
    ]
    if saga["ended_at"]:
        events.append((saga["ended_at"], "end", saga["state"]))
    rows: list[dict[str, str]] = []
    before = datetime.fromisoformat(saga["started_at"])
    for when, what, outcome in events:
        moment = datetime.fromisoformat(when)
        after_ms = round((moment - before).total_seconds() * 1000)
        rows.append({"when": when, "after": f"+{after_ms} ms", "what": what, "outcome": outcome})
        before = moment
    for letter in saga["waiting"]:
        rows += _waits_for(letter)
    rows += [_further("error", line) for line in (saga["error"] or "").splitlines()]
    return rows


def _waits_for(letter: JsonObject) -> list[dict[str, str]]:
    """Return the rows of one thing that a saga waits for: from here, and from its receiver."""
    due = f", due {letter['due_at']}" if letter["due_at"] else ""
    if letter["kind"] in ("timer", "wait"):
        what, outcome = f"waits for {letter['kind']} {letter['type'] or ''}".rstrip(), due[2:]
        return [{"when": letter["sent_at"], "after": "", "what": what, "outcome": outcome}]
    what = f"waits for {letter['kind']} {letter['type']}"
    outcome = f"{letter['state']}, sent {letter['tries']} times{due}"
    rows = [{"when": letter["sent_at"], "after": "", "what": what, "outcome": outcome}]
    there = letter["receiver_says"]
    if there is not None:
        due = f", due {there['due_at']}" if there["due_at"] else ""
        said = f"{there['state'] or 'taken'}, tried {there['tries']} times{due}"
        rows.append(_further(f"in {letter['receiver']}", said))
        error = (there["error"] or "").splitlines()
        rows += [_further("error there", line) for line in newest_error(error)]
    return rows


def _further(what: str, outcome: str) -> dict[str, str]:
    return {"when": "", "after": "", "what": what, "outcome": cell(outcome)}


def _outcome(step: JsonObject) -> str:
    name = step.get("failure", step["outcome"])
    value = "" if step["value"] is None else f" {cell(step['value'])}"
    effect = f", effect {step['effect']}" if "effect" in step else ""
    return f"{name}{value}{effect}"
