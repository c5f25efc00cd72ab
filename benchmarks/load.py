"""The load of the benchmarks: the product's own closed loop, and what its figures want of it."""

from collections.abc import Callable, Sequence

from benchmarks.harness import Sample
from holdfast.communication import Origin
from holdfast.engines.machine import MachineClock
from holdfast.load.closed_loop import ClosedLoop
from holdfast.load.offer import http_request
from holdfast.load.result import percentile
from holdfast.load.wire import Wire, dialer

CONNECTIONS = 32
PATIENCE_S = 300.0
OnAnswer = Callable[[Wire, int, bytes], None]
OnLost = Callable[[Wire, Exception], None]


def post(path: str, body: bytes, *, token: str = "") -> bytes:
    """Return the bytes of a POST of JSON."""
    return http_request("POST", path, host="bench.local", body=body, token=token)


async def connect(
    url: str, on_answer: OnAnswer, on_lost: OnLost, *, source: str = ""
) -> list[Wire]:
    """Open 32 connections to `http://host:port`, from the local address `source`."""
    dial = dialer(Origin.parse(url), source=source)
    wires = [Wire(dial, on_answer, on_lost) for _ in range(CONNECTIONS)]
    for wire in wires:
        await wire.open()
    return wires


async def closed_loop(
    url: str, requests: Sequence[bytes], *, status: int, seconds: float
) -> tuple[int, Sample]:
    """Send requests in turn on 32 connections for so long; return how many, and the sample.

    Raises:
        RuntimeError: an answer has another status.
    """
    loop = ClosedLoop(
        lambda number: requests[number % len(requests)],
        lambda _, answered: answered == status,
        MachineClock(),
        seconds=seconds,
        patience_s=PATIENCE_S,
    )
    found = await loop.run([dialer(Origin.parse(url))] * CONNECTIONS)
    if found.bad:
        raise RuntimeError(f"{url} answered {found.bad} requests otherwise: {found.first_bad}")
    return sample_of(list(found.good_s), found.took_s)


def sample_of(latencies_s: list[float], took_s: float) -> tuple[int, Sample]:
    """Return how many operations there were, and what they say."""
    latencies_s.sort()
    count = len(latencies_s)
    p50_ms, p99_ms = (percentile(latencies_s, share) * 1e3 for share in (0.5, 0.99))
    return count, Sample(count / took_s, p50_ms, p99_ms)
