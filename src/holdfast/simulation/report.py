"""One run as a page: a sequence diagram in one HTML file that loads nothing from anywhere.

Each row is a small picture of its own, so that rows can be hidden and folded without drawing anew.
"""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from holdfast.simulation.faults import Amnesia, AnyFault, Cut, Forge, Jump, Lever, Strike, Takeover
from holdfast.simulation.history import Happening
from holdfast.simulation.run import Outcome
from holdfast.simulation.timeline import (
    FOLD_MIN,
    TURNING_POINTS,
    befalls_nothing,
    chosen,
    plain,
    runs,
    schedule_of,
    tell,
    tell_fault,
    where,
)

ROWS_MAX = 4_000  # happenings on a page; the rest is left out far from what matters
VIOLATIONS_MAX = 100
COLUMNS_MAX = 24
OTHERS = "others"
WIDE, HIGH = 108, 26  # of a column, of a row; pixels

MARKS = {
    "start": "●",
    "crash": "✕",
    "stop": "■",
    "pause": "‖",
    "go on": "▶",
}
LOST = ("unanswered", "broker.dropped", "broker.ack lost", "net.cut", "net.reset")


def page(outcome: Outcome, system_name: str) -> str:
    """Return a run as an HTML page: its schedule, the diagram, and what did not hold."""
    columns = _columns(outcome.history.happenings)
    command = f"holdfast sim {shlex.quote(system_name)} --seed {shlex.quote(outcome.seed)}"
    count = len(outcome.violations)
    held = f"{count} violations" if count else "everything held"
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">",
        f"<title>{_text(system_name)}, seed {_text(outcome.seed)}</title>",
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{_text(system_name)}, seed {_text(outcome.seed)}</h1>",
        f'<p><a href="#violations">{held}</a>; {outcome.virtual_s:.1f} virtual seconds, '
        f"{len(outcome.history.happenings)} happenings, digest "
        f"<code>{_text(outcome.digest)}</code></p><p>Again: <code>{_text(command)}</code></p>",
        "<h2>Schedule</h2>",
        *_schedule(outcome.faults),
        "<h2>What happened</h2>",
        *_filters(outcome.history.happenings),
        *_diagram(outcome, columns),
        *_violations(outcome),
        f"<script>{_SCRIPT}</script></body></html>\n",
    ]
    return "\n".join(parts)


def _text(value: object, length: int = 160) -> str:
    return escape(plain(str(value), length))


def _schedule(faults: Sequence[AnyFault]) -> Iterator[str]:
    if not faults:
        yield "<p>No faults.</p>"
        return
    yield "<ol>"
    for fault in sorted(faults, key=lambda fault: fault.at_s):
        yield f"<li><time>{fault.at_s:.3f} s</time> {_text(tell_fault(fault))}</li>"
    yield "</ol>"


def _filters(happenings: Sequence[Happening]) -> Iterator[str]:
    yield '<form id="filters"><input type="search" id="find" placeholder="only rows that say …">'
    for kind, count in Counter(happening.kind for happening in happenings).items():
        name = _text(kind)
        yield f'<label><input type="checkbox" checked value="{name}">{name} <i>{count}</i></label>'
    yield '<button type="button" id="unfold">open all folds</button></form>'


def _violations(outcome: Outcome) -> Iterator[str]:
    yield '<section id="violations">'
    yield "<h2>What did not hold</h2>" if outcome.violations else "<h2>Everything held</h2>"
    for violation in outcome.violations[:VIOLATIONS_MAX]:
        told = "\n".join(_text(line, 400) for line in violation.told.splitlines()[:40])
        yield f'<div class="bad"><time>{violation.at_s:.4f}</time> '
        yield f"<b>{_text(violation.invariant)}</b><pre>{told}</pre></div>"
    if len(outcome.violations) > VIOLATIONS_MAX:
        yield f"<p>… {len(outcome.violations) - VIOLATIONS_MAX} more</p>"
    yield "</section>"


# -- columns -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Columns:
    """Who stands where. `known` is {node, service or engine: the index of its column}."""

    names: list[str]
    known: dict[str, int]

    @property
    def width(self) -> int:
        return WIDE * len(self.names)

    def x(self, name: str) -> int:
        """Return the middle of a column."""
        return WIDE * self.index(name) + WIDE // 2

    def index(self, name: str) -> int:
        """Return the index of a column; the last one takes whoever has none."""
        return self.known.get(name, len(self.names) - 1)

    def of_service(self, service: str) -> list[int]:
        """Return the columns of a service's nodes."""
        return [i for i, n in enumerate(self.names) if service in (n, n.rpartition("-")[0])]


def _columns(happenings: Sequence[Happening]) -> _Columns:
    nodes = list(dict.fromkeys(where(h) for h in happenings if h.kind == "start"))
    services = dict.fromkeys(node.rpartition("-")[0] for node in nodes)
    names = dict.fromkeys(["client", "gateway", *nodes, "broker"])
    for happening in happenings:
        ends = (happening.fields.get(key) for key in ("source", "target", "to"))
        for name in (where(happening), happening.node, *ends):
            if isinstance(name, str) and name not in services and name not in _NOBODY:
                names[name] = None
    shown = list(names)
    if len(shown) > COLUMNS_MAX:
        del shown[COLUMNS_MAX - 1 :]
        shown.append(OTHERS)
    known = {name: i for i, name in enumerate(shown)}
    for i, name in enumerate(shown):
        if "-" in name:
            known.setdefault(name.rpartition("-")[0], i)  # a service: its first node
    return _Columns(shown, known)


_NOBODY = ("", "*", "world", "network")


# -- bands: how long a node was away, how long a fault lasted -----------------------------------


def _bands(outcome: Outcome, columns: _Columns) -> Iterator[list[tuple[int, str]]]:
    """Yield, for each happening, the columns that something befalls meanwhile, and its class."""
    written = {repr(fault): fault for fault in outcome.faults}
    away: dict[int, str] = {}
    lasting: list[tuple[float, list[int]]] = []
    for happening in outcome.history.happenings:
        kind, column = happening.kind, columns.index(where(happening))
        struck: list[int] = []
        if kind in _AWAY:
            away[column] = _AWAY[kind]
        elif kind == "start" or (kind == "go on" and away.get(column) == "paused"):
            away.pop(column, None)
        elif kind == "fault":
            fault = written.get(str(happening.fields.get("fault")))
            struck = [] if fault is None else _struck(fault, columns)
            if isinstance(fault, Cut | Lever) and fault.for_s:
                lasting.append((happening.at_s + fault.for_s, struck))
        lasting = [band for band in lasting if band[0] >= happening.at_s]
        faulty = dict.fromkeys((i, "faulty") for _, columns_ in lasting for i in columns_)
        yield [*faulty, *away.items(), *((i, "struck") for i in struck)]


_AWAY = {"crash": "down", "stop": "down", "pause": "paused"}


def _struck(fault: AnyFault, columns: _Columns) -> list[int]:
    """Return the columns that a fault befalls; none for what has no column."""
    everybody = list(range(len(columns.names)))
    match fault:
        case Cut():
            names = [name for name in (fault.source, fault.target) if name in columns.known]
            return [columns.index(name) for name in names]
        case Strike():
            return columns.of_service(fault.service)
        case Amnesia():
            return [columns.index("broker")]
        case Jump(node="database"):
            return everybody
        case Forge() | Takeover():
            return columns.of_service(fault.service)
        case Lever(engine="network"):
            return everybody
        case Lever(engine="broker"):
            return [columns.index("broker")]
        case Lever():
            return columns.of_service(fault.engine.removeprefix("database "))
        case _:
            return [columns.index(fault.node)] if fault.node in columns.known else []


# -- rows ----------------------------------------------------------------------------------------


def _diagram(outcome: Outcome, columns: _Columns) -> Iterator[str]:
    happenings = outcome.history.happenings
    schedule = schedule_of(outcome)
    bands = list(_bands(outcome, columns))
    heads = "".join(f"<b title='{_text(n)}'>{_text(n, 15)}</b>" for n in columns.names)
    yield f'<div id="diagram" style="--wide:{WIDE}px;--all:{columns.width}px">'
    yield f'<div id="names"><time>s</time><span class="heads">{heads}</span></div>'
    kept = chosen([h.kind in TURNING_POINTS for h in happenings], ROWS_MAX)
    due = 0
    for _, stretch in groupby(enumerate(kept), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in stretch]
        if numbers[0] > due:
            yield f'<p class="gap">… {numbers[0] - due} happenings left out</p>'
        due = numbers[0]
        for run in runs(happenings[due : numbers[-1] + 1], schedule):
            yield from _run(run, bands[due : due + len(run)], columns, schedule)
            due += len(run)
    yield "</div>"


def _run(
    run: Sequence[Happening],
    bands: Sequence[list[tuple[int, str]]],
    columns: _Columns,
    schedule: Mapping[str, str],
) -> Iterator[str]:
    rows = [_row(*pair, columns, schedule) for pair in zip(run, bands, strict=True)]
    if len(run) < FOLD_MIN:
        yield from rows
        return
    first = run[0]
    what = (
        f"{len(run)} deliveries that nothing befell"
        if befalls_nothing(first)
        else f"{len(run)} times: {_text(where(first), 24)} {_text(tell(first, schedule))}"
    )
    yield f'<details data-k="{_text(first.kind)}"><summary><time>{first.at_s:.4f}</time> … {what}'
    yield "</summary>"
    yield from rows
    yield "</details>"


def _row(
    happening: Happening,
    bands: list[tuple[int, str]],
    columns: _Columns,
    schedule: Mapping[str, str],
) -> str:
    raw = " ".join(f"{key}={value}" for key, value in happening.fields.items())
    request = happening.fields.get("id")
    same = f' data-id="{_text(request)}"' if request is not None else ""
    band = "".join(
        f'<rect class="{what}" x="{WIDE * i + 8}" width="{WIDE - 16}" height="{HIGH}"/>'
        for i, what in bands
    )
    return (
        f'<div class="r {_mood(happening)}" data-k="{_text(happening.kind)}"{same}>'
        f"<time>{happening.at_s:.4f}</time>"
        f'<svg width="{columns.width}" height="{HIGH}" aria-hidden="true">'
        f"{band}{_drawn(happening, columns)}</svg>"
        f'<span title="{_text(raw, 400)}"><i>{_text(where(happening), 24)}</i> '
        f"{_text(tell(happening, schedule))}</span></div>"
    )


def _mood(happening: Happening) -> str:
    """Return the class of a row: how bad it is."""
    kind, status = happening.kind, happening.fields.get("status")
    if kind in ("fault", "violation"):
        return kind
    refused = isinstance(status, int) and status >= 500
    unlucky = kind.startswith(("db.", "net.", "broker.")) and not befalls_nothing(happening)
    return "ill" if refused or unlucky or kind in ("crash", "unanswered") else ""


def _drawn(happening: Happening, columns: _Columns) -> str:
    """Return an arrow for what travels, and a mark for everything else that has a column."""
    kind, (source, target) = happening.kind, _ends(happening)
    if source == target:
        if source in _NOBODY:
            return ""
        mark = MARKS.get(kind, "◆" if "." in kind else "•")
        return f'<text class="mark" x="{columns.x(source)}" y="18">{mark}</text>'
    a = 0 if source == "*" else columns.x(source)
    b = columns.width if target == "*" else columns.x(target)
    way = 1 if b > a else -1
    lost = kind in LOST
    end = b - 10 * way if lost else b
    tip = "m-4 -4l8 8m0 -8l-8 8" if lost else f"m{-6 * way} -4l{6 * way} 4l{-6 * way} 4"
    label = _text(_label(happening), 17 if abs(b - a) <= WIDE else 32)
    return (
        f'<path class="{"lost" if lost else "way"}" d="M{a} 19H{end}{tip}"/>'
        f'<text x="{(a + b) // 2}" y="13">{label}</text>'
    )


def _ends(happening: Happening) -> tuple[str, str]:
    """Return who sends, and who should receive; the same for what does not travel."""
    here, fields = happening.node or where(happening), happening.fields
    match happening.kind:
        case "request":
            return here, "gateway"
        case "answer" | "unanswered":
            return "gateway", here
        case "broker.deliver":
            return "broker", where(happening)
        case "broker.dropped" | "broker.duplicated":
            return here, "broker"
        case "broker.ack lost":
            return str(fields.get("to", "broker")), "broker"
        case _ if "source" in fields and "target" in fields:
            return str(fields["source"]), str(fields["target"])
        case _ if "to" in fields:
            return here, str(fields["to"])
        case _:
            return where(happening), where(happening)


def _label(happening: Happening) -> str:
    """Return the few words on an arrow."""
    kind, fields = happening.kind, happening.fields
    if kind == "request":
        return f"{fields.get('method', '')} {fields.get('path', '')}"
    if kind == "answer":
        return str(fields.get("status", ""))
    if kind == "unanswered":
        return str(fields.get("error", ""))
    if kind == "broker.deliver":
        again = " again" if fields.get("again") else ""
        return f"{fields.get('kind') or fields.get('lane', '')}{again}"
    return kind.partition(".")[2] or kind


_STYLE = """
:root{color-scheme:light dark;--ink:#1d2330;--paper:#fff;--soft:#d5dae3;--dim:#667;--way:#2563b0;
--bad:#c01f2e;--badly:#fde4e6;--fault:#fff0cc;--down:#b9bec9;--paused:#c9d8f2;--faulty:#ffe2a0}
@media(prefers-color-scheme:dark){:root{--ink:#dde2ec;--paper:#14171d;--soft:#333a47;--dim:#98a0b0;
--way:#78aef0;--bad:#ff7b86;--badly:#4a1a20;--fault:#3f3312;--down:#474d5a;--paused:#2a3b5c;
--faulty:#5c4713}}
body{font:14px/1.45 system-ui,sans-serif;margin:1.5rem;background:var(--paper);color:var(--ink)}
[hidden]{display:none!important}i{font-style:normal;color:var(--dim)}pre{white-space:pre-wrap}
time{display:inline-block;min-width:5.5rem;color:var(--dim);font-variant-numeric:tabular-nums}
#filters label{margin-right:.8rem;white-space:nowrap}#filters{margin-bottom:1rem}
#diagram,#names,.r{min-width:max-content}.r,#names{display:flex;align-items:center}
.r{content-visibility:auto;contain-intrinsic-size:auto 26px}.r>span{padding-left:.8rem}
#names{position:sticky;top:0;background:var(--paper);z-index:1;border-bottom:1px solid var(--soft)}
.heads{display:flex;width:var(--all)}.heads b{width:var(--wide);text-align:center;font-size:12px}
svg{flex:none;background:repeating-linear-gradient(90deg,transparent 0 calc(var(--wide)/2 - 1px),
var(--soft) 0 calc(var(--wide)/2),transparent 0 var(--wide))}
svg text{font-size:10px;text-anchor:middle;fill:var(--ink);stroke:var(--paper);stroke-width:3px;
paint-order:stroke}svg .mark{font-size:14px}svg path{fill:none;stroke:var(--way);stroke-width:1.5}
svg .lost,.ill path{stroke:var(--bad)}svg .lost{stroke-dasharray:5 3}
.ill,.ill .mark{color:var(--bad);
fill:var(--bad)}.down{fill:var(--down)}.paused{fill:var(--paused)}.faulty{fill:var(--faulty)}
.struck{fill:var(--bad);opacity:.6}.fault{background:var(--fault)}
.same{outline:2px solid var(--way)}
.violation,.bad{background:var(--badly);color:var(--bad)}.bad{padding:.5rem 1rem;margin:.5rem 0}
summary,.gap{color:var(--dim);cursor:pointer;margin:0;padding:.2rem 0}.gap{cursor:default}
"""

_SCRIPT = """
const all = query => [...document.querySelectorAll(query)], find = document.getElementById("find");
const boxes = all("#filters input[type=checkbox]"), rows = all("[data-k]"), folds = all("details");
const show = () => {
  const off = new Set(boxes.filter(box => !box.checked).map(box => box.value));
  const word = find.value.toLowerCase();
  for (const row of rows) row.hidden = off.has(row.dataset.k) ||
    !row.textContent.toLowerCase().includes(word);
};
document.getElementById("filters").addEventListener("input", show);
document.getElementById("filters").addEventListener("submit", event => event.preventDefault());
document.getElementById("unfold").addEventListener("click", () => {
  const open = folds.some(fold => !fold.open); for (const fold of folds) fold.open = open });
document.getElementById("diagram").addEventListener("click", event => {
  const id = event.target.closest(".r")?.dataset.id;
  for (const row of rows)
    row.classList.toggle("same", id !== undefined && row.dataset.id === id) });
"""
