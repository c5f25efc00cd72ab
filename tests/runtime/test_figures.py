"""What a process tells of itself: its operating system's figures, and how late its loop is."""

import asyncio
import os
import resource

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast.engines.machine import MachineClock
from holdfast.observability import Metrics
from holdfast.runtime.figures import LoopLag, watch_process
from tests.observability.fakes import SetClock


async def test_the_loop_is_as_late_as_it_was_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due and not done yet is late; each look counts once, and none after the stop."""
    monkeypatch.setattr("holdfast.runtime.figures.LOOK_S", 0.0)
    clock, lag = SetClock(5.0), Metrics("shop").loop_lag()
    looks = LoopLag(lag, clock)
    looks.start()
    clock.now_s += 0.2
    while not lag.count:
        await asyncio.sleep(0)
    looks.stop()
    seen = lag.count
    for _ in range(5):
        await asyncio.sleep(0)

    assert lag.counts[lag.bounds.index(0.25)] == 1
    assert lag.sum == pytest.approx(0.2)
    assert lag.count == seen


def test_the_figures_are_those_of_this_process() -> None:
    """In Prometheus's names and units, by the kernel's own count."""
    metrics = Metrics("shop")
    watch_process(metrics)
    before = resource.getrusage(resource.RUSAGE_SELF)
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    text = metrics.render().decode()
    for one in held:
        os.close(one)
    shown = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    after = resource.getrusage(resource.RUSAGE_SELF)
    assert 1 << 20 < shown["process_resident_memory_bytes"] <= after.ru_maxrss * 1024
    assert shown["process_open_fds"] - len(os.listdir("/proc/self/fd")) >= 19
    used = [rusage.ru_utime + rusage.ru_stime for rusage in (before, after)]
    assert 0 < used[0] <= shown["process_cpu_seconds_total"] <= used[1]
    with open("/proc/stat") as lines:
        booted = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
    assert booted + 1 < shown["process_start_time_seconds"] < MachineClock().now() - used[0] + 1
    assert shown["holdfast_watch_errors_total"] == 0
