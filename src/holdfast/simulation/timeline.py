"""The story of one run in words, for a terminal; the page of `report` uses the same words."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from holdfast.simulation.faults import (
    Amnesia,
    AnyFault,
    Crash,
    Cut,
    Forge,
    Jump,
    Lever,
    Pause,
    Restart,
    Strike,
    Takeover,
)
from holdfast.simulation.history import Happening
from holdfast.simulation.run import Outcome

LINES_MIN = 40
TEXT_MAX = 160  # characters of what is told in one line
FOLD_MIN = 3  # of a kind in a row, before they become one line

WORDS = {
    "request": "{id}: {method} {path}, key {key}",
    "answer": "{id}: answered {status}",
    "unanswered": "{id}: no answer, {error}",
    "start": "starts{on}",
    "crash": "is killed {why}",
    "stop": "is asked to stop",
    "pause": "stops where it is",
    "go on": "goes on",
    "violation": "VIOLATED: {invariant}",
    "broker.deliver": "gets a parcel of {size} bytes ({lane})",
    "broker.dropped": "loses a parcel to {to} ({lane})",
    "broker.duplicated": "takes a parcel to {to} twice ({lane})",
    "broker.ack lost": "does not hear that {to} is done with a parcel ({lane})",
    "broker.forgot": "forgets what it holds of {stream}: {parcels}",
    "net.cut": "nothing travels from {source} to {target}",
    "net.healed": "something travels from {source} to {target} again",
    "net.reset": "a connection breaks while {source} sends to {target}",
    "db.conflict": "the database of {store} ends a transaction: a conflict",
    "db.drop": "the database of {store} drops the connection",
    "db.void commit": "the database of {store} answers a COMMIT with a rollback",
    "db.lost commit": "a COMMIT is lost on its way to the database of {store}",
    "db.late commit": "a COMMIT lands late in the database of {store}; nobody is told",
    "db.lost reply": "the database of {store} commits, and its answer is lost",
    "db.slow commit": "the database of {store} takes its time for a COMMIT",
}
"""{kind: what is told of it}; a kind that is not here is told with all its fields."""

TURNING_POINTS = ("fault", "crash", "stop", "pause", "go on", "net.cut", "violation")
"""Kinds whose surroundings are kept when not everything fits."""


class _Fields(dict[str, object]):
    """A happening's fields; one that is missing reads as `?`."""

    def __missing__(self, key: str) -> str:
        return "?"


def timeline(outcome: Outcome, *, lines_max: int = 400) -> str:
    """Return the story of a run: its schedule, what happened, and what did not hold.

    What does not fit is left out far from faults, crashes and violations, and from both ends.

    Raises:
        ValueError: lines_max < LINES_MIN.
    """
    if lines_max < LINES_MIN:
        raise ValueError(f"lines_max must be >= {LINES_MIN}, got {lines_max}")
    head = _bounded(_head(outcome), lines_max // 4)
    tail = _bounded(_tail(outcome), lines_max // 4)
    body = _body(outcome, lines_max - len(head) - len(tail) - 3)
    return "\n".join([*head, "", "what happened", *body, "", *tail])


def tell(happening: Happening, schedule: Mapping[str, str]) -> str:
    """Return a happening in words, without its time and place.

    Args:
        schedule: as `schedule_of` returns it.
    """
    kind, fields = happening.kind, _Fields(happening.fields)
    if kind == "crash" and fields["why"] == "fault":
        return "is killed"
    if kind == "fault":
        text = schedule.get(str(fields["fault"])) or f"{fields['what']}: {fields['fault']}"
        told = f"FAULT: {text}"
    elif kind in WORDS:
        told = WORDS[kind].format_map(fields).removesuffix(", key ").strip()
        if fields.get("again"):
            told += ", perhaps not for the first time"
        if kind == "broker.deliver" and "kind" in fields:
            told += f": {fields['kind']}"
    else:
        told = " ".join([kind, *(f"{key}={value}" for key, value in fields.items())])
    return plain(told)


def schedule_of(outcome: Outcome) -> dict[str, str]:
    """Return {how a fault is written in the history: the same in words}."""
    return {repr(fault): tell_fault(fault) for fault in outcome.faults}


def tell_fault(fault: AnyFault) -> str:
    """Return a fault in words, without its time."""
    lasting = f" for {fault.for_s:g} s" if fault.for_s else ""
    back = f"comes back after {fault.for_s:g} s" if fault.for_s else "comes back at once"
    match fault:
        case Crash():
            return f"{fault.node} is killed, and {back}"
        case Strike():
            passing = f"the node of {fault.service} that passes {fault.step} (passage {fault.nth})"
            return f"{passing} is killed, and {back}"
        case Pause():
            return f"{fault.node} stops where it is{lasting}"
        case Restart():
            return f"{fault.node} is asked to stop, and {back}"
        case Jump():
            whose = "all databases" if fault.node == "database" else fault.node
            whose = whose.replace("database ", "the database of ", 1)
            way = "back" if fault.by_s < 0 else "forward"
            return f"the wall clock of {whose} is set {way} by {abs(fault.by_s):g} s"
        case Cut():
            source, target = (
                "anybody" if name == "*" else name for name in (fault.source, fault.target)
            )
            return f"nothing travels from {source} to {target}{lasting}"
        case Amnesia():
            what = {"all": "all that it holds", "holes": f"{fault.share:.0%} of what it holds"}
            return f"the broker forgets {what.get(fault.how, f'the last {fault.seconds:g} s')}"
        case Forge():
            whose = "its own name" if fault.says == fault.service else f"the name of {fault.says}"
            return f"{fault.service} sends {fault.to} a forged {fault.message} in {whose}"
        case Takeover():
            posing = f", and is found where {fault.poses} should be{lasting}" if fault.poses else ""
            return f"{fault.service} is taken over: {fault.attempts} attempts{posing}"
        case Lever():
            return f"{fault.engine}: {fault.lever.removesuffix('_s')}{_setting(fault)}{lasting}"


def where(happening: Happening) -> str:
    """Return whom a happening is about: a node, "broker", "network", or "world"."""
    kind, fields = happening.kind, happening.fields
    if kind == "broker.deliver":
        return str(fields.get("to", "broker"))
    if kind.startswith("broker."):
        return "broker"
    if kind.startswith("net."):
        return "network"
    return str(fields.get("node") or happening.node or "world")


def befalls_nothing(happening: Happening) -> bool:
    """Say whether this is a delivery like any other."""
    return happening.kind == "broker.deliver" and not happening.fields.get("again")


def runs(happenings: Sequence[Happening], schedule: Mapping[str, str]) -> list[list[Happening]]:
    """Split a history where something new is told; a run is one thing again and again."""

    def alike(happening: Happening) -> object:
        if befalls_nothing(happening):
            return ""
        if happening.kind in TURNING_POINTS:
            return id(happening)  # each is told by itself
        return where(happening), tell(happening, schedule)

    return [list(run) for _, run in groupby(happenings, alike)]


def chosen(marked: Sequence[bool], limit: int) -> list[int]:
    """Return at most `limit` indices, in order: those nearest to a marked one or to an end.

    Equally near ones are taken from both ends inwards.
    """
    size = len(marked)
    away = [0 if mark or i in (0, size - 1) else size for i, mark in enumerate(marked)]
    for i in range(1, size):
        away[i] = min(away[i], away[i - 1] + 1)
    for i in range(size - 2, -1, -1):
        away[i] = min(away[i], away[i + 1] + 1)
    nearest = sorted(range(size), key=lambda i: (away[i], min(i, size - 1 - i)))
    return sorted(nearest[:limit])


def plain(text: str, length: int = TEXT_MAX) -> str:
    """Return text on one line, without what a terminal would obey, and not too long."""
    if not text.isprintable():
        text = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode()
            for c in text[: length + 1]
        )
    return text if len(text) <= length else text[: length - 1] + "…"


def _setting(fault: Lever) -> str:
    value = fault.value
    if isinstance(value, bool):
        return "" if value else " is over"
    if isinstance(value, tuple):
        return f", {value[0]:g} to {value[1]:g} s"
    return f", up to {value:g} s" if fault.lever.endswith("_s") else f", {value:.0%}"


def _head(outcome: Outcome) -> list[str]:
    happened = len(outcome.history.happenings)
    lines = [
        plain(f"seed {outcome.seed}"),
        f"{happened} happenings in {outcome.virtual_s:.1f} virtual seconds, "
        f"{len(outcome.violations)} violations, digest {outcome.digest}",
        "",
        "the schedule" if outcome.faults else "the schedule is empty",
    ]
    for fault in sorted(outcome.faults, key=lambda fault: fault.at_s):
        lines.append(f"{fault.at_s:10.4f}  {plain(tell_fault(fault))}")
    return lines


def _tail(outcome: Outcome) -> list[str]:
    said = [f"never ran: {name}" for name in outcome.never_ran]
    said += [plain(f"logged: {error}", 400) for error in outcome.errors]
    if not outcome.violations:
        return [*said, "everything held"]
    lines = [*said, "what did not hold"]
    for violation in outcome.violations:
        first, *more = f"{violation.invariant}: {violation.told}".splitlines() or [""]
        lines.append(f"{violation.at_s:10.4f}  {plain(first, 400)}")
        lines += [f"{'':12}{plain(line, 400)}" for line in more]
    return lines


def _bounded(lines: list[str], limit: int) -> list[str]:
    if len(lines) <= limit:
        return lines
    return [*lines[: limit - 1], f"… {len(lines) - limit + 1} more lines"]


def _body(outcome: Outcome, limit: int) -> list[str]:
    schedule = schedule_of(outcome)
    rows: list[list[Happening]] = []
    for run in runs(outcome.history.happenings, schedule):
        rows += [run] if len(run) >= FOLD_MIN else [[happening] for happening in run]
    marked = [row[0].kind in TURNING_POINTS for row in rows]
    take, lines = limit, list[str]()
    while True:
        kept = chosen(marked, take)
        lines = _lines(rows, kept, schedule)
        if len(lines) <= limit:
            return lines
        take -= max(1, (len(lines) - limit) // 2)  # the lines that tell of gaps need room too


def _lines(
    rows: Sequence[Sequence[Happening]], kept: Sequence[int], schedule: Mapping[str, str]
) -> list[str]:
    lines: list[str] = []
    due = 0
    for index in [*kept, len(rows)]:
        if index == due + 1:
            lines.append(_line(rows[due], schedule))  # as long as to say that it was left out
        elif index > due:
            left = sum(len(row) for row in rows[due:index])
            till_s = rows[index - 1][-1].at_s
            lines.append(f"{rows[due][0].at_s:10.4f}  … {left} happenings until {till_s:.4f}")
        if index < len(rows):
            lines.append(_line(rows[index], schedule))
        due = index + 1
    return lines


def _line(row: Sequence[Happening], schedule: Mapping[str, str]) -> str:
    first = row[0]
    if len(row) == 1:
        return f"{first.at_s:10.4f}  {plain(where(first), 16):<16}  {tell(first, schedule)}"
    if befalls_nothing(first):
        return f"{first.at_s:10.4f}  … {len(row)} deliveries that nothing befell"
    told = f"{tell(first, schedule)} (… {len(row)} times, until {row[-1].at_s:.4f})"
    return f"{first.at_s:10.4f}  {plain(where(first), 16):<16}  {told}"
