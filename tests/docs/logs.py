"""Writes docs/logs.md from the calls in the code: `make reference`. A test holds the two equal."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import holdfast
from holdfast.observability import Level
from tests.docs.snippets import ROOT

PAGE = ROOT / "docs" / "logs.md"
HEAD = """# Logs

The events of the log, with their levels and fields, from the calls in the code: `make reference`
writes this page, and a test holds it equal. How to read them is in
[Operations](operations.md#logs).

Each line is one JSON object. These come first:

| field | is |
|---|---|
| `ts` | when, in UTC |
| `level` | `debug`, `info`, `warning`, `error` or `critical` |
| `event` | a name of the tables below, or that of a logger of the standard `logging` |
| `service` | whose code ran, or `gateway`; the system's name where it is nobody's |
| `correlation_id` | of the request that all goes back to |
| `trace_id`, `span_id` | of the trace, and of the span in it |
| `on_behalf_of` | the subject of the request that the work goes back to, as data |

Lines whose event is `audit` are entries of the [audit log](operations.md#audit), with fields of
their own.

The ids are in each line of a request, a route, a query, a letter, a saga and a job's run, wherever
it is written; only of what could not be read, or was refused, they are not known. The span is that
of the try if the handler was run, otherwise that of the letter's sender. A run of a job begins a
trace, whose id is also its correlation id.

## Your own

```py
log = logging.getLogger("shop.orders")


@orders.handles
async def charge(command: Charge, tx: Tx) -> None:
    log.info("charged", extra={"order_id": command.order_id})
```

What is given to the standard `logging` is written to the same log, with the same ids and without
secrets: `event` is the logger's name, `message` the text, `extra` are fields, and an exception has
the fields of errors below. So it is in routes, handlers, queries, jobs, sagas and their local
steps, in mounted apps, and in functions in `outside.run` and their threads. `HOLDFAST_LOG_LEVEL`
says from which level on, unless the root logger has another one than Python's own. Handlers that
you add to it write beside it, in a form of their own.

structlog comes the same way with `structlog.stdlib.LoggerFactory()`, ended by
`structlog.stdlib.render_to_log_kwargs`, a renderer of text, or
`ProcessorFormatter.wrap_for_formatter`.

A saga's function runs over its steps again at each advance, and logs each time what it says: log
in handlers and local steps what shall be there once. A try that failed has logged, too.
"""
ERROR_FIELDS = ("error_type", "error", "error_at", "error_causes")
REQUEST = ("method", "route", "status", "ms", "client")
WHEN = {
    "Requests": {
        "request": "A request was answered.",
        "request.failed": "A bug or an overload; the client was told its correlation id only. "
        "`path` is there when no route was found yet.",
        "request.late": "Its deadline passed before anything was written; the client was told.",
        "requests.shed": "So many requests found no place since the line before: a line a second.",
        "token.refused": "A request brought no token, or one that was refused: the reason, which "
        "its answer does not say.",
    },
    "Letters": {
        "handled": "A handler ended a letter, with its outcome: `reply`, the name of a failure, "
        "or of an error.",
        "letter.failed": "A try failed; `at` is the file and line in your code.",
        "letter.dead": "The last try failed, or must not be made again: a person decides.",
        "letter.postponed": "The database was busy, or away; no try is used.",
        "letter.waits": "It waits for a version that knows it; no try is used.",
        "letter.takes_long": "A handler works on, and its letter is kept for it.",
        "letter.lease_lost": "Another process has claimed it; nothing of this run is kept.",
        "letter.ignored": "It is below its sender's floor: settled long ago.",
        "letter.refused": "The parcel `says` another sender than published it, or the graph does "
        "not let that one send it; nothing of it is kept.",
        "parcel.refused": "It could not be read.",
        "answer.refused": "An answer came from somebody else than whom the letter went to.",
        "answer.handed_back": "The saga was advanced by a newer version, which must take it.",
        "work.unknown": "The database holds work of a name, version or edge that is not known "
        "here, and what to do.",
    },
    "Sagas": {
        "saga.parked": "Its function raised, or has changed: the error, and `at`, the file and "
        "line; `holdfast sagas retry` when it is mended.",
        "saga.waits": "Its timer waits for a version that knows it.",
    },
    "Settings": {
        "settings.refused": "A file of a setting has a new text that does not fit; what it had "
        "before is in use.",
        "secret.unreadable": "The file of a variable is away, empty or no text; what it had before "
        "is in use.",
    },
    "Traces": {
        "traces.lost": "The receiver of [traces](traces.md) does not take them.",
        "traces.rejected": "It took a part of them.",
        "traces.flow_again": "It takes them again.",
    },
    "The process": {
        "audit.head": "How the [audit log](operations.md#audit) in the data folder ends, when it "
        "is taken up, after each 100 entries, and at the end.",
        "process.ready": "It takes requests, at these addresses; one more field for each stand-in.",
        "process.draining": "It was asked to stop.",
        "process.stopped": "It has stopped, and nothing is left behind.",
        "identity.renewed": "New files of its certificate were taken up: `seconds` until it ends.",
        "identity.trouble": "Its certificate is about to end, or new files cannot be taken up.",
        "certificate.renewed": "Clients are shown a new certificate: `seconds` until it ends.",
        "certificate.trouble": "The certificate that clients see is about to end, or new files of "
        "it cannot be taken up.",
        "handshake.failed": "TLS handshakes with clients failed, `count` since the line before; "
        "the last one's client and reason: a line a second.",
        "peer.refused": "Another process, or a stranger, did not prove who it is.",
        "transaction_token.refused": "The gateway forwarded a request without a good proof of its "
        "caller; reasons are in [tokens](tokens.md#how-services-know-who-calls).",
        "inner.refused": "A process of the system asked for what the graph does not allow it.",
        "process.stop_failed": "It could not be started, and what it had begun did not stop.",
    },
}
"""{heading: {event: when it is written}}."""


@dataclass
class Said:
    """How an event is written: its levels, and the fields of all calls."""

    levels: dict[str, None] = field(default_factory=dict[str, None])
    fields: dict[str, None] = field(default_factory=dict[str, None])


def events() -> dict[str, Said]:
    """Return what the code logs."""
    found = {"request": Said({"info": None}, dict.fromkeys(REQUEST))}
    for file in sorted(Path(holdfast.__file__).parent.rglob("*.py")):
        for name, level, fields in _calls(ast.parse(file.read_text())):
            said = found.setdefault(name, Said())
            said.levels[level] = None
            said.fields |= dict.fromkeys(fields)
    return found


def _calls(tree: ast.Module) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (event, level, fields) of each call that logs one."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in ast.walk(function):
            if not isinstance(call, ast.Call):
                continue
            told, given = call.func, call.args
            if ast.unparse(told).endswith(".run") and given:  # of a context
                told, given = given[0], given[1:]
            level = _level(told)
            if ast.unparse(told) == "self._tell":  # of the exporter: (why, event, …)
                level, given = "warning", given[1:]
            for event in _texts(given[0], function) if level and given else ():
                yield event, level, _fields(call)


def _level(told: ast.expr) -> str:
    *where, name = ast.unparse(told).split(".")
    if name.lstrip("_") == "notice":
        return "warning"
    logs = bool(where) and where[-1].lstrip("_") == "logger" and name in get_args(Level)
    return name if logs else ""


def _texts(event: ast.expr, function: ast.AST) -> list[str]:
    """Return an event's name, or all that a variable may hold."""
    if isinstance(event, ast.Constant):
        return [str(event.value)]
    assigned = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
    return [
        str(node.value.value)
        for node in assigned
        if isinstance(node.value, ast.Constant)
        and ast.unparse(node.targets[0]) == ast.unparse(event)
    ]


def _fields(call: ast.Call) -> list[str]:
    found: list[str] = []
    for keyword in call.keywords:
        if keyword.arg == "exc":
            found += ERROR_FIELDS
        elif keyword.arg is None:
            assert ast.unparse(keyword.value) == "process.addresses"
            found += ["gateway", "inside", "operations"]
        elif keyword.arg != "cause":
            found.append(keyword.arg)
    return found


def page() -> str:
    """Return the whole page."""
    found, parts = events(), [HEAD]
    for heading, listed in WHEN.items():
        rows = ["| event | level | when | fields |", "|---|---|---|---|"]
        for event, when in listed.items():
            said = found[event]
            fields = ", ".join(f"`{name}`" for name in said.fields)
            rows.append(f"| `{event}` | {', '.join(said.levels)} | {when} | {fields} |")
        parts += [f"## {heading}\n", "\n".join(rows) + "\n"]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.relative_to(ROOT)} is written")
