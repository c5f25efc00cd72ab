"""Outside: what a handler may reach before it writes. It implements `system.Outside`."""

import asyncio
import functools
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, Protocol, TypeVar

from holdfast.consistency.delivery import Delivery, Hopeless
from holdfast.consistency.unit import Unit
from holdfast.contract.carrier import carrier_of, written
from holdfast.contract.cause import Cause
from holdfast.contract.http import Request, Response
from holdfast.contract.messages import AnyQuery, Query
from holdfast.errors import BadAnswer, CallError, EffectFromRoute, NotDeclared
from holdfast.observability import Audit, SpanKind, SpanSort, Tracing, semconv
from holdfast.resilience import Edge, EdgePolicy
from holdfast.system import External, ExternalAnswer, Pool, Service, pool_of
from holdfast.system.checks import may_send

_SAFE_METHODS = frozenset({"GET", "HEAD"})

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class OneTryOnly(Hopeless):
    """The External takes no keys, and an earlier try may have had its effect."""

    code = "one_try_only"


class Asks(Protocol):
    """How queries find their service; in this process or another."""

    async def ask(self, query: Query[R], *, sender: str, deadline: float, cause: Cause) -> R:
        """Return the reply. Raises the query's failures and CallError."""
        ...


@dataclass(frozen=True, slots=True)
class Blocking:
    """A blocking function that a handler wants to run.

    Attributes:
        function: called without arguments.
        pool: what it is marked with; None: it shares the threads of its service.
        deadline: loop time after which nobody waits for it.
        patient: it may wait however many wait already, because nobody would do it instead.
    """

    function: Callable[[], object]
    service: str
    pool: Pool | None = None
    deadline: float | None = None
    patient: bool = False


Send = Callable[[External, Request, float], Awaitable[Response]]


@dataclass(slots=True)
class Reach:
    """What one service reaches with: its edges, kept over its life.

    Attributes:
        edges: {query's wire name or External's name: edge}.
        send: sends one request to an External within so many seconds.
        run: runs a blocking function in a thread. Raises PoolFull.
    """

    service: Service
    asks: Asks
    send: Send
    run: Callable[[Blocking], Awaitable[object]]
    edge_of: Callable[[str, EdgePolicy | None], Edge]
    tracing: Tracing
    audit: Audit
    edges: dict[str, Edge] = field(default_factory=dict[str, Edge])
    _sorts: dict[type, SpanSort] = field(default_factory=dict[type, SpanSort])

    def sort_of(self, query: AnyQuery) -> SpanSort:
        """Return the sort of the spans of asking a query."""
        kind = type(query)
        found = self._sorts.get(kind)
        if found is None:
            found = self._sorts[kind] = asked(query.wire_name(), SpanKind.CLIENT)
        return found

    def edge(self, name: str, policy: EdgePolicy | None) -> Edge:
        """Return the edge of that name, made at its first use."""
        found = self.edges.get(name)
        if found is None:
            found = self.edges[name] = self.edge_of(f"{self.service.name}→{name}", policy)
        return found


def asked(wire: str, kind: SpanKind) -> SpanSort:
    """Return the sort of spans of a query, of who asks or of who answers."""
    return SpanSort(wire, kind, ((semconv.RPC, semconv.OURS), (semconv.RPC_METHOD, wire)))


class OutsideView:
    """The outside of one run of one handler.

    Args:
        deadline: the loop time at which all of it has to end, a request's.
        call_s: how long each of its calls may take, where there is no such end.
    """

    __slots__ = (
        "_call_s",
        "_calls",
        "_deadline",
        "_delivery",
        "_effects",
        "_reach",
        "_scratch",
        "_unit",
    )

    def __init__(
        self,
        reach: Reach,
        *,
        unit: Unit | None,
        delivery: Delivery | None = None,
        deadline: float | None = None,
        call_s: float | None = None,
    ) -> None:
        self._reach = reach
        self._call_s = call_s
        self._unit = unit
        self._delivery = delivery
        self._deadline = deadline
        self._calls = 0
        self._effects = 0
        self._scratch: dict[int, Any] = {}

    async def ask(self, query: Query[R]) -> R:
        """See `system.Outside.ask`."""
        number = self._next()
        kept = self._kept()
        if number in kept:
            reply: R = kept[number]
            return reply
        service = self._reach.service
        if not may_send(service, type(query)):
            raise NotDeclared(
                f"{service.name} asks {query.name}; add {query.name} to `calls=[…]` of "
                f"Service({service.name!r})"
            )
        carrier_of(type(query)).encode(query)  # in every layout alike, at the line that asks
        edge = self._reach.edge(query.wire_name(), service.policies.get(type(query)))
        loop, sort = asyncio.get_running_loop(), self._reach.sort_of(query)

        async def once(timeout_s: float) -> R:
            with self._reach.tracing.part(sort) as part:
                deadline, cause = loop.time() + timeout_s, part.context.cause
                return await self._reach.asks.ask(
                    query, sender=service.name, deadline=deadline, cause=cause
                )

        patient = self._delivery is not None
        reply = await edge.call(once, deadline=self._until(), idempotent=True, patient=patient)
        kept[number] = reply
        return reply

    async def get(
        self, external: External, path: str, *, headers: Mapping[str, str] | None = None
    ) -> ExternalAnswer:
        """See `system.Outside.get`."""
        return await self.request("GET", external, path, headers=headers)

    async def post(
        self,
        external: External,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> ExternalAnswer:
        """See `system.Outside.post`."""
        return await self.request("POST", external, path, json=json, headers=headers)

    async def request(
        self,
        method: str,
        external: External,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> ExternalAnswer:
        """See `system.Outside.request`."""
        number = self._next()
        kept = self._kept()
        effect = method.upper() not in _SAFE_METHODS
        effects = self._effects
        self._effects += effect  # counted though its answer is kept: the next one has the next key
        if number in kept:
            answer: ExternalAnswer = kept[number]
            return answer
        service = self._reach.service
        if external not in service.reaches:
            raise NotDeclared(
                f"{service.name} reaches {external.name}; add it to `reaches=[…]` of "
                f"Service({service.name!r})"
            )
        body = b"" if json is None else written(json)
        wire = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        if body:
            wire.append((b"content-type", b"application/json"))
        if effect:
            key = await self._key(external, effects, f"{method} {path}", body)
            wire.append((b"idempotency-key", key))
        where, _, query = path.partition("?")
        request = Request(method.upper(), where, query, wire, body)
        idempotent = not effect or external.idempotent
        try:
            answer = await self._send(external, request, idempotent=idempotent)
        except CallError as exc:
            if not idempotent and exc.effect == "none" and self._delivery is not None:
                self._delivery.not_sent(effects)
            raise
        kept[number] = answer
        return answer

    async def _key(self, external: External, number: int, what: str, body: bytes) -> bytes:
        """Commit `reached`, and return the key that every try of this letter sends."""
        delivery = self._delivery
        if delivery is None:
            raise EffectFromRoute(
                f"{external.name}: {what} from a route or a query: nobody would finish it "
                "after a crash; move it into a command's handler and start a saga, or `tx.send` it"
            )
        text = b"\n".join((external.name.encode(), what.encode(), body))
        digest = hashlib.blake2b(text, digest_size=8).digest()
        earlier = await delivery.reach(digest, number, external.key_life_s)
        if earlier and not external.idempotent:
            raise OneTryOnly(
                f"{external.name} takes no idempotency keys, and an earlier try may have had its "
                "effect; look there, then replay or drop this letter"
            )
        return f"{delivery.letter.id}.{number}".encode()

    async def _send(
        self, external: External, request: Request, *, idempotent: bool
    ) -> ExternalAnswer:
        async def once(timeout_s: float) -> Response:
            response = await self._reach.send(external, request, timeout_s)
            if response.status >= 500 or response.status == 429:
                raise BadAnswer(
                    f"{external.name} answered {response.status} to {request.method} "
                    f"{request.path}",
                    edge=external.name,
                )
            return response

        edge = self._reach.edge(external.name, external.policy)
        response = await edge.call(
            once,
            deadline=self._until(),
            idempotent=idempotent,
            patient=self._delivery is not None,
        )
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in response.headers}
        return ExternalAnswer(response.status, headers, response.body, external.name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `system.Outside.run`."""
        number = self._next()
        kept = self._kept()
        if number not in kept:
            kept[number] = await self._reach.run(
                Blocking(
                    functools.partial(function, *args, **kwargs),
                    self._reach.service.name,
                    pool_of(function),
                    self._deadline,
                    patient=self._delivery is not None,
                )
            )
        value: T = kept[number]
        return value

    def audit(
        self, what: str, *, who: str, authority: str = "", on: str = "", outcome: str = "done"
    ) -> None:
        """See `system.Outside.audit`."""
        reach = self._reach
        reach.audit.record(
            f"{reach.service.name}.{what}", who=who, authority=authority, on=on, outcome=outcome
        )

    def _until(self) -> float | None:
        """Return the loop time at which a call that begins now has to end, if there is one."""
        if self._call_s is None:
            return self._deadline
        return asyncio.get_running_loop().time() + self._call_s

    def _next(self) -> int:
        if self._unit is not None:
            self._unit.check_outside()
        self._calls += 1
        return self._calls

    def _kept(self) -> dict[int, Any]:
        return self._scratch if self._delivery is None else self._delivery.kept
