"""One connection of the HTTP server: requests go to the handler one by one, answers go in order.

A connection reads ahead while a handler runs (pipelining), bounded by `requests_ahead_max`. What
it is waiting for decides its deadline:

    IDLE   nothing of the next request has come    idle_s; header_deadline_s for the first one
    HEAD   a part of a head                        header_deadline_s
    BODY   a part of a body                        body_stall_s, put off by what comes
    ENDED  nothing more is read: the client closed, said that it will, or was refused

A request that arrives in one piece moves no timer: there is one per connection, which looks at the
deadline when it fires. A handler is not cancelled when its client goes away, since a transaction
may be under way; the request says that it is gone, and whoever runs it knows whether to stop. A
stream of unknown length ends with its client. Whoever closes its half has gone, since nothing tells
the two apart; an answer that comes all the same is sent. Each request has a task of its own:
running the handler's first step without one was measured to save 1 µs of 15, and forbids
`asyncio.timeout` in it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextvars import Context, copy_context
from typing import cast

from holdfast.communication.arrivals import Arrivals
from holdfast.communication.framing import HttpLimits, Refusal
from holdfast.communication.intake import SLICE_BYTES, Bodies, Intake, Phase
from holdfast.communication.occupancy import Occupancy
from holdfast.communication.pace import Uptake, put_off
from holdfast.communication.response_head import BODILESS, Heads, declared_length
from holdfast.contract.http import AdmissionControl, Handler, HeaderList, Peer, Request, Response
from holdfast.ports import Clock, Guarded, HandshakeFailure, Network

OnError = Callable[[Request, BaseException], None]
OnHandshake = Callable[[str, HandshakeFailure, str], None]
"""Told of a TLS handshake that failed: the client's address, the reason, and TLS's own words."""
Identify = Callable[[asyncio.Transport], object]
RefusalHeaders = Callable[[HeaderList], HeaderList]

_IDLE, _HEAD, _BODY, _ENDED = Phase
_NEVER = float("inf")
WAITING_BYTES_MAX = 32 * 1024
"""What waits for a client in the process before a stream is read on; a piece may come on top."""
OVERLOADED = "overloaded"
_PROBLEM: HeaderList = [(b"content-type", b"application/problem+json")]
_RETRY_AFTER = (b"retry-after", b"1")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ServerState:
    """What all connections of one server share: the handler, the limits and the counts."""

    def __init__(
        self,
        handler: Handler,
        gate: AdmissionControl | None,
        limits: HttpLimits,
        clock: Clock,
        on_error: OnError | None,
        identify: Identify | None,
        refusal_headers: RefusalHeaders | None,
        network: Network,
        occupancy: Occupancy | None,
        on_handshake: OnHandshake | None,
    ) -> None:
        self.handler = handler
        self.gate = gate
        self.limits = limits
        self.heads = Heads(clock.now)
        self.network = network
        self.arrivals = Arrivals(network, clock)
        self.on_error = on_error
        self.identify = identify
        self.refusal_headers = refusal_headers or _no_headers
        self.on_handshake = on_handshake or _untold
        self.connections: set[Connection] = set()
        self.occupancy = occupancy or Occupancy(None)
        self.bodies = Bodies()
        self.refused: Counter[str] = Counter()
        self.requests = 0
        self.in_flight = 0
        self.errors = 0
        self.draining = False
        self.emptied = asyncio.Event()

    def leave(self, connection: "Connection") -> None:
        """Free the place of a connection that is closed and whose handler has ended."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.occupancy.leave(connection.address)
        if not self.connections:
            self.emptied.set()

    def report(self, request: Request, error: BaseException) -> None:
        """Hand what a handler raised to whoever wants to know; it is never lost silently."""
        self.errors += 1
        if self.on_error is not None:
            self.on_error(request, error)
        else:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{request.method} {request.path} raised", "exception": error}
            )


class Connection(Guarded):
    """The protocol of one accepted connection."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._limits = state.limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._context: Context = cast(Context, None)  # each request begins with a copy
        self._gone = self._shaking = False
        self._held_s = 0.0  # how long it had waited for us when its handshake began
        self.address = ""
        # reading: requests that wait for their turn, bytes that wait for room among them
        self._ahead: deque[Request] = deque()
        self._intake: Intake = cast(Intake, None)
        self._unread = b""
        self._paused = False
        self._came_at = 0.0  # when what was read last came; 0.0 when that is no matter any more
        self._ended = False  # the client sends no more, which is told to what begins then
        # answering: at most one request runs; set while the client does not take its answer
        self._task: asyncio.Task[None] | None = None
        self._running: Request | None = None
        self._endless: bool | None = None  # the stream that is being sent, None without one
        self._writable: asyncio.Future[None] | None = None
        self._uptake: Uptake = cast(Uptake, None)
        # the one deadline, see the module; `_watched` is the part that it was started for
        self._old_at = self._loop.time() + state.limits.age_s
        self._watched = (0, _IDLE)
        self._body_bytes = 0  # of the body that is being read, when it was looked at last
        self._expires = _NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER

    # -- the transport calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or refuse it when there are too many; one in TLS is in by now."""
        self._take_up(transport)
        if self._shaking:
            self._shaking = False
        elif (refusal := self._enter()) is not None:
            self._turn_away(refusal)

    def handshake_begins(self, transport: asyncio.Transport) -> None:
        """Count a connection from its first moment; its deadline goes on until it asks something.

        It is not worth a handshake to tell somebody that there is no room, nor to find out that he
        has gone.
        """
        self._take_up(transport)
        waited = self._state.network.unread(transport)
        refusal = self._enter()
        if refusal is not None:
            self._state.refused[refusal.code] += 1
        if refusal is not None or waited.ended:
            transport.abort()
            return
        self._shaking, self._held_s = True, waited.age_s

    def handshake_failed(self, reason: HandshakeFailure, why: str) -> None:
        """Tell it once."""
        if self._shaking:
            self._shaking = False
            self._state.on_handshake(self.address, reason, why)

    def _take_up(self, transport: asyncio.BaseTransport) -> None:
        state = self._state
        self._context = copy_context()
        self._transport = tcp = cast(asyncio.Transport, transport)
        tcp.set_write_buffer_limits(WAITING_BYTES_MAX)
        name = tcp.get_extra_info("peername")
        peer = Peer(
            str(cast("tuple[object]", name)[0]) if isinstance(name, tuple) else "",
            "http" if tcp.get_extra_info("sslcontext") is None else "https",
            state.identify(tcp) if state.identify is not None else None,
        )
        self._intake = Intake(self._ahead, self._limits, state.bodies, peer)
        self._uptake = Uptake(tcp, self._limits, state.network)
        self.address = peer.address

    def _enter(self) -> Refusal | None:
        """Take a place, or say why there is none."""
        state = self._state
        if state.draining or len(state.connections) >= self._limits.connections_max:
            return Refusal(503, "too_many_connections", "Try again in a moment.")
        if not state.occupancy.try_enter(self.address):
            return Refusal(429, "too_many_of_address", "Use those that are open.")
        state.connections.add(self)
        self._watch(self._limits.header_deadline_s)
        return None

    def _turn_away(self, refusal: Refusal) -> None:
        self._intake.end()
        self._write_refusal(refusal)
        self.close()

    def data_received(self, data: bytes) -> None:
        """Parse what came; whole requests are queued and the first one is started."""
        self._came_at, self._ended = self._state.arrivals.read(
            self._transport, first=not self._intake.begun
        )
        if self._held_s:
            self._came_at -= self._held_s
            self._held_s = 0.0
        if (
            self._unread
            or len(data) > SLICE_BYTES
            or len(self._ahead) >= self._limits.requests_ahead_max
        ):
            self._unread += data
            self._read_on()
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        """Keep the connection open while answers are due; TLS cannot be half-closed."""
        due = self._task is not None or bool(self._ahead)
        self._ended = True
        self._intake.last = True
        self._intake.end()
        self._expires = _NEVER
        self._leave(sure=False)
        return due and self._transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what waits; what runs goes on without anyone to answer."""
        self._gone = True
        self._intake.end()
        self._ahead.clear()
        self._unread = b""
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        if self._task is None:
            self._state.leave(self)
        else:
            self._leave(sure=True)

    def pause_writing(self) -> None:
        """Stop answering until the client takes what was written."""
        self._writable = self._loop.create_future()
        self._uptake.watch()

    def resume_writing(self) -> None:
        """Go on answering."""
        self._uptake.stop()
        writable, self._writable = self._writable, None
        if writable is not None:
            if not writable.done():  # its waiter may have been cancelled
                writable.set_result(None)
            if self._task is None:
                self._next()

    def _leave(self, *, sure: bool) -> None:
        """Tell what runs that its client has gone; a file is sent on as long as it can be."""
        if self._task is not None and (self._endless or (sure and self._endless is not None)):
            self._task.cancel()
        elif self._running is not None:
            self._running.leave()

    # -- reading

    def _feed(self, data: bytes) -> None:
        intake = self._intake
        intake.feed(data)
        phase = intake.phase
        if phase is _HEAD or phase is _BODY:
            part = (intake.begun, phase)
            if self._watched != part:
                limits = self._limits
                self._watched = part
                self._body_bytes = intake.body_bytes
                self._watch(limits.header_deadline_s if phase is _HEAD else limits.body_stall_s)
                if phase is _BODY:
                    self._look_ahead()
            elif phase is _BODY:
                self._put_off()
        elif self._task is not None or self._writable is not None:
            self._expires = _NEVER
        # Blank lines alone are nothing, and do not make an idle connection younger.
        if self._task is None and (self._ahead or phase is not _IDLE):
            self._next()

    def _look_ahead(self) -> None:
        """Refuse a request before its body comes, if it would be refused afterwards."""
        gate, intake = self._state.gate, self._intake
        if gate is not None and intake.coming is not None and gate.is_full(intake.coming):
            intake.refuse(Refusal(503, OVERLOADED, "Too many requests are under way."))

    def _read_on(self) -> None:
        """Parse what was left unread, slice by slice, as far as the queue has room."""
        maximum = self._limits.requests_ahead_max
        while self._unread and len(self._ahead) < maximum:
            piece, self._unread = self._unread[:SLICE_BYTES], self._unread[SLICE_BYTES:]
            self._feed(piece)
        full = len(self._ahead) >= maximum and not self._gone
        if full is not self._paused:
            self._paused = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    # -- answering

    def _next(self) -> None:
        """Take up the next request, or else the refusal; nothing is under way."""
        intake, gate = self._intake, self._state.gate
        while self._ahead and self._writable is None and not self._gone:
            request = self._ahead.popleft()
            if intake.phase is _IDLE or intake.phase is _ENDED:
                self._expires = _NEVER
            # What waited for the answer before its own has not been waiting for the server.
            request.received_at = self._came_at or self._state.arrivals.now()
            request.gone = self._ended
            refused = None if gate is None else gate.enter(request)
            if refused is None:
                self._running = request
                context = self._context.copy()  # not of the request before, which calls this
                self._task = self._loop.create_task(self._serve(request), context=context)
            else:
                self._state.refused[OVERLOADED] += 1
                self._answer(request, refused)
            if self._paused:
                self._read_on()
            if self._task is not None:
                return
        if self._writable is not None or self._gone:
            return
        if intake.refusal is not None:
            refusal, intake.refusal = intake.refusal, None
            self._write_refusal(refusal)
            self._linger()
        elif intake.phase is _IDLE:
            self._watch(self._limits.idle_s)
            if self._transport.get_write_buffer_size():
                self._uptake.watch()
        elif intake.take_expectation():
            self._transport.write(_CONTINUE)
            self._watch(self._limits.body_stall_s)

    def _answer(self, request: Request, response: Response) -> None:
        """Answer a request for which nothing was begun."""
        closing, answer = self._encode(request, response)
        self._transport.write(answer)
        if closing:
            self.close()

    async def _serve(self, request: Request) -> None:
        state = self._state
        state.requests += 1
        state.in_flight += 1
        gate = state.gate
        closing, refused = True, None if gate is None else gate.begin(request)
        if refused is not None:
            state.refused[OVERLOADED] += 1
        try:
            try:
                try:
                    response = await state.handler(request) if refused is None else refused
                finally:  # a stream that is sent takes no place
                    if gate is not None:
                        gate.leave(request)
                closing, answer = self._encode(request, response)
            except Exception as error:  # the handler's own, or an answer that cannot be sent
                state.report(request, error)
                response = _bug(state.refusal_headers(request.headers))
                closing, answer = self._encode(request, response)
            if response.stream is not None:
                await self._stream(request, response, answer)
            elif not self._gone:
                self._transport.write(answer)
        except BaseException:  # raised again: what was sent of the answer is no answer
            self._transport.abort()
            raise
        finally:
            state.in_flight -= 1
            self._task = self._running = None
            self._came_at = 0.0
            if self._gone:
                state.leave(self)
        if closing:
            self.close()
        else:
            self._next()

    def _encode(self, request: Request, response: Response) -> tuple[bool, bytes]:
        """Return whether an answer is the last one of this connection, and its bytes."""
        state, intake = self._state, self._intake
        ended = intake.last and intake.refusal is None and not self._ahead
        old = self._old_at < _NEVER and self._loop.time() >= self._old_at and not self._ahead
        closing = ended or state.draining or old
        bare = request.method == "HEAD"
        chunked = response.stream is not None and self._chunked()
        return closing, state.heads.encode(response, bare=bare, closing=closing, chunked=chunked)

    def _chunked(self) -> bool:
        """Say whether a stream is chunked; an HTTP/1.0 one ends with its connection."""
        return not self._intake.old or bool(self._ahead)

    async def _stream(self, request: Request, response: Response, head: bytes) -> None:
        stream = cast(AsyncIterator[bytes], response.stream)
        length = declared_length(response)
        chunked = length is None and self._chunked()
        try:
            self._transport.write(head)
            if self._gone or request.method == "HEAD" or response.status in BODILESS:
                return
            self._endless = length is None
            await self._write_piece(response.body, chunked=chunked)
            sent = len(response.body)
            async for piece in stream:
                sent += len(piece)
                if length is not None and sent > length:
                    raise ValueError(f"a stream is longer than its content-length of {length}")
                await self._write_piece(piece, chunked=chunked)
            if length is not None and sent < length:
                raise ValueError(f"a stream ended after {sent} of {length} bytes")
            if chunked:
                self._transport.write(b"0\r\n\r\n")
        except Exception as error:  # the head is gone: all that can be said is to break off
            self._state.report(request, error)
            self._transport.abort()
        finally:
            self._endless = None
            aclose = getattr(stream, "aclose", None)
            if aclose is not None:
                await aclose()

    async def _write_piece(self, piece: bytes, *, chunked: bool) -> None:
        if piece:
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if self._writable is not None:
                await self._writable

    def _write_refusal(self, refusal: Refusal) -> None:
        self._state.refused[refusal.code] += 1
        headers = _PROBLEM + self._state.refusal_headers(self._intake.headers)
        if refusal.status == 503:
            headers = [*headers, _RETRY_AFTER]
        answer = Response(refusal.status, headers, refusal.document())
        self._transport.write(self._state.heads.encode(answer, closing=True))

    # -- ending

    @property
    def idle(self) -> bool:
        """Whether no request is being read, waiting or running."""
        return self._task is None and not self._ahead and self._intake.phase is _IDLE

    @property
    def task(self) -> "asyncio.Task[None] | None":
        """The running request."""
        return self._task

    def close(self) -> None:
        """Close once the client has taken what was written, or has not for too long.

        TLS says goodbye and waits for the other side's goodbye, for 30 s if it must: a client that
        does not read, such as one whose machine sleeps, would hold up a drain. It gets `linger_s`.
        """
        self._shaking = False  # a handshake that we end has not failed
        self._intake.end()
        self._ahead.clear()
        if not self._transport.is_closing():  # asyncio's TLS forgets itself when closed again
            self._transport.close()
        if not self._gone:
            self._uptake.watch()

    def abort(self) -> None:
        """Close now, and cancel the handler that runs."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    def _linger(self) -> None:
        """Say that no more comes, and drop for a while what the client still sends."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._watch(self._limits.linger_s)
        else:
            self.close()

    def _watch(self, seconds: float) -> None:
        """Let the one deadline be in so many seconds; the timer moves only to come earlier."""
        self._expires = at = self._loop.time() + seconds
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._on_timer)

    def _put_off(self) -> None:
        """Wait longer for a body that comes, however slowly, at the rate that must be."""
        limits, came_bytes = self._limits, self._intake.body_bytes
        moved_bytes, self._body_bytes = came_bytes - self._body_bytes, came_bytes
        now = self._loop.time()
        self._expires = put_off(self._expires, moved_bytes, now, limits.body_stall_s, limits)

    def _end_slow(self) -> None:
        """Refuse a request that is not complete in time, unless it is us who keep it waiting."""
        if self._paused or self._intake.expected:
            self._watch(self._limits.body_stall_s)
            return
        self._expires = _NEVER
        self._intake.refuse(Refusal(408, "too_slow", "The request did not arrive in time."))
        if self._task is None:
            self._next()

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = _NEVER
        left_s = self._expires - self._loop.time()
        phase = self._intake.phase
        if left_s > 0:
            if left_s < _NEVER:
                self._watch(left_s)
        elif phase is _HEAD or phase is _BODY:
            self._end_slow()
        elif self._shaking:
            self.handshake_failed("timed_out", "the client was too slow")
            self._transport.abort()
        elif phase is _IDLE:
            self.close()
        else:
            self._transport.abort()


def _untold(address: str, reason: HandshakeFailure, why: str) -> None:
    """Do nothing."""


def _no_headers(headers: HeaderList) -> HeaderList:
    return []


def _bug(headers: HeaderList) -> Response:
    refusal = Refusal(500, "internal", "The server failed to serve this request.")
    return Response(500, _PROBLEM + headers, refusal.document())
