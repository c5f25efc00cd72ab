"""Sends the same requests through one process, by one way, and keeps all that leaves it."""

import asyncio
import base64
import dataclasses
import io
import json
import random
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import asdict

from holdfast import Caller, Gateway
from holdfast.communication import PORT
from holdfast.communication.response_head import Heads
from holdfast.contract.cause import Cause
from holdfast.contract.http import HeaderList, Peer, Request
from holdfast.dispatch.inner_door import InnerDoor
from holdfast.dispatch.inner_headers import DEADLINE, entry_headers
from holdfast.dispatch.outside import Blocking
from holdfast.dispatch.router import Serve, Target
from holdfast.dispatch.routes import CompiledRoute
from holdfast.engines.machine import MachineIds
from holdfast.engines.memory import MemoryBroker
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.gateway import Door
from holdfast.gateway.headers import correlation_of, forwarded_headers
from holdfast.observability import Logger
from holdfast.observability.exposition import Exposition
from holdfast.observability.span import SpanRecord
from holdfast.observability.trace import NO_CONTEXT
from holdfast.resilience import MemoryLimits
from holdfast.runtime.engines import Engines
from holdfast.runtime.process import Options, Process
from holdfast.runtime.serve import start
from holdfast.simulation.network import SimNetwork
from holdfast.simulation.node import Node
from holdfast.straight.routes import door_flags, route_flags
from holdfast.straight.specialise import specialise
from holdfast.straight.template import straight_door, straight_route
from holdfast.testing.stage import HOST, SELDOM
from holdfast.testing.virtual import VirtualClock, VirtualLoop
from tests.straight.counter import ENVIRON, NOW, system_of

_RECEIVER = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://receiver.example:4318"}
_SAMPLED = {"OTEL_TRACES_SAMPLER": "always_on"}  # ids are drawn in another order: none is chosen
_ID = re.compile(
    r"[0-9a-f]{64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{16}"
)
_FRAMES_SHOWN = re.compile(r"error_at=\[.*?\] ")
LogForm = Literal["json", "console"]
_FRAMES, _STACK = "error_at", "exception.stacktrace"  # name the functions of the way


class Way(Enum):
    """How requests go from the door to their handlers."""

    LONG = "door.straight is empty"
    STRAIGHT = "as it is made at the start"
    TEMPLATE = "by the templates as they stand, with their questions"
    THROUGH = "through the door as to another process, and the long way from there"
    THROUGH_TEMPLATE = "the same, by the template as it stands"
    INSIDE_LONG = "into a process of services, where door.straight is empty"
    INSIDE = "into it as it is made at the start"
    INSIDE_TEMPLATE = "the same, by the template of a route as it stands"

    @property
    def inside(self) -> bool:
        """Whether they come from the gateway of another process."""
        return self in (Way.INSIDE_LONG, Way.INSIDE, Way.INSIDE_TEMPLATE)

    @property
    def long(self) -> "Way":
        """The one that is the judge of this one."""
        return Way.INSIDE_LONG if self.inside else Way.LONG


@dataclass(frozen=True)
class Step:
    """One request, and what happens around it.

    Attributes:
        late_s: how long ago it came. gone: its client has left before it was begun.
        leaves_s, cancelled_s: when its client leaves, when its task is cancelled.
        waits: the next step begins when this one has ended; otherwise at once.
        pause_s: how long nothing happens before it.
        dated: whether it is known when it came.
    """

    method: str = "GET"
    target: str = "/open"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    client: str = "198.51.100.7"
    late_s: float = 0.0
    gone: bool = False
    leaves_s: float | None = None
    cancelled_s: float | None = None
    waits: bool = True
    pause_s: float = 0.0
    dated: bool = True

    def request(self, now: float) -> Request:
        """Return the request, as a server hands it on."""
        path, _, query = self.target.partition("?")
        headers: HeaderList = [(b"host", b"api.example")]
        headers += [(name.encode(), value.encode("latin-1")) for name, value in self.headers]
        received_at = now - self.late_s if self.dated else 0.0
        request = Request(self.method, path, query, headers, self.body, client=self.client)
        request.received_at, request.gone = received_at, self.gone
        request.peer = Peer(self.client)
        return request

    def forwarded(self, now: float) -> Request:
        """Return the request as the gateway of another process sends it on.

        Each thing that it says is what the client said, as far as it may be, and none otherwise.
        """
        request = self.request(now)
        request.caller = _named(request.sent.get(b"authorization", b""))
        trace = request.sent.get(b"traceparent", b"").decode("latin-1")
        correlation = correlation_of(request.headers) or "of-the-gateway"
        cause = Cause(correlation=correlation, trace=trace)
        headers = entry_headers(request, 30.0, cause)
        if DEADLINE in request.sent:
            asked = [pair for pair in request.headers if pair[0] == DEADLINE]
            headers = [*(pair for pair in headers if pair[0] != DEADLINE), *asked]
        headers = [*forwarded_headers(request.headers), *headers]
        path, query, body = request.path, request.query, request.body
        inside = Request(self.method, path, query, headers, body, client="10.0.0.1")
        inside.received_at, inside.gone, inside.peer = request.received_at, self.gone, Peer()
        return inside


def _named(authorization: bytes) -> Caller | None:
    """Return whom a token names, whoever signed it."""
    parts = authorization.removeprefix(b"Bearer ").split(b".")
    if len(parts) != 3:
        return None
    said = json.loads(base64.urlsafe_b64decode(parts[1] + b"=="))
    return Caller(said["sub"], frozenset(said["scope"].split()), said.get("client_id", ""))


@dataclass
class Left:
    """All that leaves a process; ids are numbered as they come, and frames left out.

    Attributes:
        callers: of each request that was served well, whom it is from, and until when.
    """

    answers: list[str] = field(default_factory=list[str])
    log: list[str] = field(default_factory=list[str])
    metrics: list[str] = field(default_factory=list[str])
    spans: list[str] = field(default_factory=list[str])
    counts: list[str] = field(default_factory=list[str])
    callers: list[str] = field(default_factory=list[str])
    handlers: int = 0


def send(
    way: Way,
    steps: Sequence[Step],
    gateway: Gateway,
    *,
    spans: bool = False,
    form: LogForm = "json",
) -> Left:
    """Send requests one way, in virtual time, and return what left."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_send(way, steps, gateway, spans=spans, form=form))


async def _send(
    way: Way, steps: Sequence[Step], gateway: Gateway, *, spans: bool, form: LogForm
) -> Left:
    chance = random.Random(14)
    network, clock, log = SimNetwork.seeded("ways"), VirtualClock(NOW), io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="holdfast-") as name:
        engines = Engines(
            clock=clock,
            ids=MachineIds(chance.randbytes),
            random=chance,
            network=network.of(Node(HOST, HOST)),
            broker=MemoryBroker(),
            database=lambda service: SqliteDatabase(Path(name) / f"{service}.db", clock),
            run=_at_once,
        )
        options = Options(
            data=None,
            host=HOST,
            port=PORT,
            gateway=not way.inside,
            environ={**ENVIRON, **(_RECEIVER if spans else _SAMPLED)},
            schedule=SELDOM,
        )
        process = Process(
            system_of(gateway), options, Logger(log, clock, "tiny", form=form), engines
        )
        recorded = _recorded(process)
        await start(process)
        door = process._wiring.door
        try:
            _take(way, door)
            left = Left()
            answers, left.callers = await _answers(steps, door, Heads(clock.now))
            process.logger.flush()
            numbered = _Numbered()
            left.answers = [numbered(answer) for answer in answers]
            left.log = [numbered(_line(line)) for line in log.getvalue().splitlines()]
            left.metrics = [numbered(line) for line in _exposed(process)]
            left.spans = [numbered(_span(span)) for span in recorded]
            left.counts = _counts(door)
            left.handlers = len(door.straight)
        finally:
            await process.stop()
        return left


def _counts(door: Door | InnerDoor) -> list[str]:
    if isinstance(door, InnerDoor):
        return []
    limits = door.admission._limits
    assert isinstance(limits, MemoryLimits)
    return [str(dataclasses.asdict(limits.stats()))]


def _take(way: Way, door: Door | InnerDoor) -> None:
    """Have a door go one way."""
    assert door.straight, "all of its routes have a straight way"
    if way is way.long:
        door.straight.clear()
    elif way not in (Way.STRAIGHT, Way.INSIDE):
        for target in door.straight:
            door.straight[target] = _made(way, door, target)


def _made(way: Way, door: Door | InnerDoor, target: Target) -> Serve:
    """Return what serves a route by the templates, as they stand or not."""
    route = target.serve
    assert isinstance(route, CompiledRoute)
    of_route = route_flags(route.route, route.signature, spans=route.operation.records)
    if isinstance(door, InnerDoor):
        return straight_route(route, of_route)
    gateway, method, spans = door.admission.gateway, route.route.method, door.requests.records
    limits = door.admission._limits
    assert isinstance(limits, MemoryLimits)
    flags = door_flags(gateway, public=target.public, spans=spans, whole=True)
    if way is Way.TEMPLATE:
        answer = straight_route(route, of_route)
        return straight_door(door, target, method, answer, limits, flags)
    made = specialise(straight_door, asdict(flags)) if way is Way.THROUGH else straight_door
    return made(door, target, method, route, limits, flags)


async def _answers(
    steps: Sequence[Step], door: Door | InnerDoor, heads: Heads
) -> tuple[list[str], list[str]]:
    loop = asyncio.get_running_loop()
    ended = dict[int, str]()

    async def one(n: int, request: Request) -> None:
        try:
            response = await door(request)
            bare = request.method == "HEAD"
            ended[n] = heads.encode(response, bare=bare, closing=False).decode("latin-1")
            made = msgspec.structs.replace(response, head=b"")
            plain = heads.encode(made, bare=bare, closing=False).decode("latin-1")
            assert ended[n] == plain, "the head that was made is that of the headers"
        except ValueError as error:
            ended[n] = f"cannot be sent: {error}"
        except asyncio.CancelledError:
            ended[n] = "cancelled"

    tasks, requests = list[asyncio.Task[None]](), list[Request]()
    for n, step in enumerate(steps):
        if step.pause_s:
            await asyncio.sleep(step.pause_s)
        now = loop.time()
        request = step.request(now) if isinstance(door, Door) else step.forwarded(now)
        task = asyncio.create_task(one(n, request))
        tasks.append(task)
        requests.append(request)
        if step.leaves_s is not None:
            loop.call_later(step.leaves_s, request.leave)
        if step.cancelled_s is not None:
            loop.call_later(step.cancelled_s, task.cancel)
        if step.waits:
            await asyncio.wait([task])
    if tasks:
        await asyncio.wait(tasks)
    callers = [
        f"{request.caller} until {request.caller_until}"
        for n, request in enumerate(requests)
        if ended[n].startswith("HTTP/1.1 2")
    ]
    return [f"{ended[n]}" for n in range(len(steps))], callers


def _recorded(process: Process) -> list[SpanRecord]:
    """Return where the spans of a process are put from now on, beside where they go."""
    found: list[SpanRecord] = []
    spans = process._wiring.telemetry.tracing.spans
    if spans is not None:
        record = spans.record

        def keep(span: SpanRecord) -> None:
            found.append(span)
            record(span)

        spans.record = keep  # type: ignore[method-assign]  # what the exporter gets, as it comes
    return found


def _span(span: SpanRecord) -> str:
    """Return what is exported of a span: for whom it was is not."""
    context = msgspec.structs.replace(span.context, subject="")
    events = tuple(
        msgspec.structs.replace(
            event, attributes=tuple(pair for pair in event.attributes if pair[0] != _STACK)
        )
        for event in span.events
    )
    shown = msgspec.structs.replace(span, context=NO_CONTEXT, events=events)
    if span.sort.scope:  # the user's own, which has the machine's time
        shown = msgspec.structs.replace(shown, begun=0.0, ended=0.0)
    return f"{context} {msgspec.structs.asdict(shown)}"


def _exposed(process: Process) -> list[str]:
    text = process.metrics.render(Exposition.OPEN).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def _line(line: bytes) -> str:
    if not line.startswith(b"{"):
        return _FRAMES_SHOWN.sub("", line.decode())
    said: dict[str, Any] = json.loads(line)
    said.pop(_FRAMES, None)
    return json.dumps(said)


class _Numbered:
    """Writes ids as numbers, in the order in which they come."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        def name(found: "re.Match[str]") -> str:
            known = self._known
            return known.setdefault(found[0], f"<{len(found[0])}: {len(known)}>")

        return _ID.sub(name, text)


async def _at_once(work: Blocking) -> object:
    return work.function()
