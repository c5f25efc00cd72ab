"""What is late is refused when it stays so, and not after a hiccup."""

import pytest

from holdfast.resilience import Lateness


def test_after_a_hiccup_nobody_is_refused() -> None:
    """Everything that came meanwhile is late by as much, and is caught up with."""
    lateness = Lateness(1.0)

    assert not any(lateness.refuses(3.0 - n * 0.01, now=100 + n * 0.003) for n in range(300))


def test_what_stays_late_is_refused() -> None:
    """After as long again as a request may wait, and as long as it lasts."""
    lateness = Lateness(1.0)

    refused = [lateness.refuses(1.5, now=100 + n * 0.25) for n in range(10)]

    assert refused == [False] * 5 + [True] * 5


@pytest.mark.parametrize("waited_s", [0.0, 1.0])
def test_one_in_time_ends_it(waited_s: float) -> None:
    """The queue is short again; those behind it are served until it has stood for long again."""
    lateness = Lateness(1.0)
    for n in range(10):
        lateness.refuses(1.5, now=100 + n * 0.25)

    assert not lateness.refuses(waited_s, now=102.5)
    assert not lateness.refuses(1.1, now=102.6)
    assert not lateness.refuses(1.1, now=103.6)
    assert lateness.refuses(1.1, now=103.7)


@pytest.mark.parametrize(
    ("times", "refused"),
    [
        ([0.0, 1.0, 2.0], [False, False, True]),  # a second apart is no gap
        ([0.0, 0.5, 1.0], [False, False, False]),  # a second in all is not over it
        ([0.0, 0.5, 1.0, 1.125], [False, False, False, True]),
        ([0.0, 1.125, 2.25], [False, False, False]),  # more than a second apart is one
    ],
)
def test_what_lasts_exactly_as_long_is_not_over_it(times: list[float], refused: list[bool]) -> None:
    """Both for the gap between two and for the time since the first."""
    lateness = Lateness(1.0)

    assert [lateness.refuses(1.5, now=time) for time in times] == refused


def test_late_ones_that_are_far_apart_are_hiccups() -> None:
    """Between them nothing came, so nothing stood in line."""
    lateness = Lateness(1.0)

    assert not any(lateness.refuses(1.5, now=100 + n * 1.5) for n in range(10))


@pytest.mark.parametrize(("load", "served_min"), [(0.9, 0.89), (2.5, 0.95), (10.0, 0.8)])
def test_goodput_stays_under_any_load(load: float, served_min: float) -> None:
    """A model of a server of 250 a second, whose clients wait for two: few are served in vain."""
    lateness, serve_s, refuse_s, patience_s = Lateness(1.0), 0.004, 0.000_06, 2.0
    now, came, good, seconds = 0.0, 0.0, 0, 60.0
    while now < seconds:
        now = max(now, came)
        if lateness.refuses(now - came, now):
            now += refuse_s
        else:
            now += serve_s
            good += now - came <= patience_s
        came += serve_s / load

    assert good * serve_s / seconds >= served_min
