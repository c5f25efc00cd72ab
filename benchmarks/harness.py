"""How a figure is measured: pinned processes, interleaved rounds, medians of per-round ratios.

The server under test has core 0 for itself; the load, and whatever stands behind the server, share
core 1. Servers take turns (A B A B), so that a machine that drifts drifts for both, and those whose
turn it is not are stopped (SIGSTOP). A round during which something else used these cores is
repeated.
"""

import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.disturbance import disturbers, look
from benchmarks.process import Server, busy_s

FOREIGN_MAX = 0.15  # cores; a round with more is measured again
REPEATS_MAX = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How long everything is measured; `quick` is for a look, not for the record."""

    rounds: int = 5
    warm_up_s: float = 1.0
    round_s: float = 2.0
    starts: int = 7

    @classmethod
    def quick(cls) -> "Plan":
        """Return a plan of a few seconds."""
        return cls(rounds=3, warm_up_s=0.5, round_s=0.6, starts=3)


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one server.

    Attributes:
        rate: operations a second.
        p50_ms, p99_ms: of one operation, in a closed loop at saturation.
        cpu_us: CPU of the server under test, all threads, per operation.
        load_share: CPU of the load generator in cores; near 1.0 it is what was measured.
        foreign: CPU of others on the two cores, in cores; what was stolen is in it.
        disturbers: {who they were: cores}, as far as they can be told.
        more: other values of this figure by name.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float = math.nan
    load_share: float = math.nan
    foreign: float = math.nan
    disturbers: Mapping[str, float] = field(default_factory=dict[str, float])
    more: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report.

    Attributes:
        ratio: ours against the peer's, the median over the rounds; more is better.
        cpu_ratio: the same of operations per second of CPU, which a busy machine distorts less.
        target: what the ratio, or without a peer the value, must reach; a limit if `at_most`.
        samples: {server: its rounds}.
    """

    figure: str
    unit: str
    ours: float
    peer_name: str = ""
    peer: float = math.nan
    ratio: float = math.nan
    cpu_ratio: float = math.nan
    target: float = math.nan
    at_most: bool = False
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict[str, Sequence[Sample]])

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if math.isnan(self.target):
            return None
        if self.at_most:
            return self.ours <= self.target
        return self.ratio >= self.target


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of a comparison.

    Attributes:
        run: measures for so many seconds; rate, percentiles and `more` are its, CPU is added here.
        servers_s: returns the CPU of databases and brokers so far, which is no disturbance.
        wakes_s: how long it runs, not measured, after it was stopped for the others' turns.
        beside: processes that belong to both sides, such as the backend of a gateway.
    """

    server: Server
    run: Callable[[float], Awaitable[tuple[int, Sample]]]
    beside: Sequence[Server] = ()
    wakes_s: float = 0.0
    servers_s: Callable[[], float] = float


async def compare(contenders: Sequence[Contender], plan: Plan) -> dict[str, list[Sample]]:
    """Measure contenders in turns; return {name: samples}, without the warm-up."""
    found: dict[str, list[Sample]] = {c.server.name: [] for c in contenders}
    for contender in contenders:
        contender.server.pause()
    for number in range(plan.rounds + 1):
        for contender in contenders:
            contender.server.resume()
            seconds = plan.round_s if number else plan.warm_up_s
            if number and contender.wakes_s:
                await contender.run(contender.wakes_s)
            sample = await _undisturbed(contender, seconds) if number else None
            if sample is None:
                await contender.run(seconds)
            else:
                found[contender.server.name].append(sample)
            contender.server.pause()
    return found


async def _undisturbed(contender: Contender, seconds: float) -> Sample:
    samples: list[Sample] = []
    for _ in range(REPEATS_MAX):
        samples.append(await _measure(contender, seconds))
        if samples[-1].foreign <= FOREIGN_MAX:
            break
    return min(samples, key=lambda sample: sample.foreign)


async def _measure(contender: Contender, seconds: float) -> Sample:
    before = look()
    ours = [contender.server, *contender.beside]
    server_s, all_s = contender.server.cpu_s(), sum(server.cpu_s() for server in ours)
    all_s += contender.servers_s()
    busy, load_s, begun = busy_s(), time.process_time(), time.perf_counter()
    count, sample = await contender.run(seconds)
    took = time.perf_counter() - begun
    load_s = time.process_time() - load_s
    server_s = contender.server.cpu_s() - server_s
    all_s = sum(server.cpu_s() for server in ours) + contender.servers_s() - all_s + load_s
    return Sample(
        sample.rate,
        sample.p50_ms,
        sample.p99_ms,
        server_s / count * 1e6,
        load_s / took,
        max(0.0, (busy_s() - busy - all_s) / took),
        disturbers(before, look(), root=os.getpid(), took_s=took),
        sample.more,
    )


def versus(
    figure: str, unit: str, samples: Mapping[str, Sequence[Sample]], *, target: float = math.nan
) -> Row:
    """Return the row of two contenders: the first named is ours, the second the peer."""
    (_, ours), (peer_name, peers) = samples.items()
    rounds = list(zip(ours, peers, strict=True))
    return Row(
        figure,
        unit,
        median(sample.rate for sample in ours),
        peer_name,
        median(sample.rate for sample in peers),
        median(a.rate / b.rate for a, b in rounds),
        median(b.cpu_us / a.cpu_us for a, b in rounds),
        target,
        samples=samples,
    )
