"""The straight way of a request, and the long one, which is the judge: nobody can tell them apart.

The same requests go through processes that differ in nothing else. What leaves is the same: answers
byte by byte, lines of the log and of the audit log, metrics with their exemplars, spans, counts,
and for whom another process would be asked, and until when.
"""

from collections.abc import Sequence
from functools import lru_cache

import pytest

from holdfast import Cors, Gateway, Rate
from tests.straight.counter import PROVED, TOKENS, counter
from tests.straight.requests import each, mixed
from tests.straight.ways import Left, LogForm, Step, Way, send

PLENTY = Rate(per_s=1_000, burst=100_000)
SHOP = Cors(origins=("https://shop.example",), credentials=True)
GATEWAYS = {
    "bare": Gateway(tokens=TOKENS, per_caller=None, per_address=None),
    "rated": Gateway(
        tokens=PROVED,
        origins=("https://api.example",),
        per_caller=PLENTY,
        per_address=PLENTY,
    ),
    "behind a proxy": Gateway(
        tokens=TOKENS,
        per_caller=None,
        per_address=PLENTY,
        trusted_proxies=("10.0.0.0/8",),
        cors=SHOP,
    ),
    "small": Gateway(
        tokens=TOKENS,
        per_caller=Rate(per_s=5, burst=3),
        per_address=Rate(per_s=8, burst=6),
        cors=Cors(origins=("*",)),
        trusted_proxies=("10.0.0.0/8",),
        requests_max=4,
        wait_s=0.5,
        deadline_s=2.0,
    ),
    "caller": Gateway(
        tokens=TOKENS, per_caller=Rate(per_s=5, burst=3), per_address=None, requests_max=2
    ),
}
ENDS = {
    *("200", "201", "204", "299", "302", "400", "401", "403", "404", "405", "409", "415", "418"),
    *("422", "429", "499", "500", "503", "504", "cancelled"),
}
WAYS = [way for way in Way if way is not way.long]


def assert_same(
    steps: Sequence[Step],
    gateway: str,
    way: Way,
    long: Left,
    *,
    spans: bool = False,
    form: LogForm = "json",
) -> None:
    """Send requests a second way, and compare all that leaves with what the long way left."""
    left = send(way, steps, GATEWAYS[gateway], spans=spans, form=form)
    for step, ours, theirs in zip(steps, left.answers, long.answers, strict=True):
        assert ours == theirs, step
    for kind in ("log", "metrics", "spans", "counts", "callers"):
        here, there = getattr(left, kind), getattr(long, kind)
        for one, other in zip(here, there, strict=False):
            assert one == other, kind
        assert len(here) == len(there), kind
    assert (left.handlers, long.handlers) == (len(counter().routes), 0)


@lru_cache(maxsize=2)
def _long(way: Way, gateway: str, seed: int, spans: bool, form: LogForm) -> Left:
    return send(way.long, _steps(seed), GATEWAYS[gateway], spans=spans, form=form)


def _steps(seed: int) -> list[Step]:
    return mixed(seed, 400) if seed else list(each())


@pytest.mark.parametrize("way", [Way.LONG, Way.INSIDE_LONG])
def test_requests_end_in_every_way(way: Way) -> None:
    """What is compared are not refusals alone."""
    answers = _long(way, "rated", 0, False, "json").answers
    ends = {one[9:12] if one.startswith("HTTP") else one.partition(":")[0] for one in answers}
    assert ends == ENDS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("gateway", "spans"), [("bare", True), ("rated", False), ("behind a proxy", False)]
)
def test_each_request_is_served_alike(gateway: str, spans: bool, way: Way) -> None:
    """One after the other: every kind of route, and everything that can be wrong with a request."""
    long = _long(way, gateway, 0, spans, "json")
    assert_same(_steps(0), gateway, way, long, spans=spans)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("gateway", "seed", "spans", "form"),
    [("small", 1, False, "json"), ("small", 2, True, "console"), ("caller", 3, False, "console")],
)
def test_requests_that_meet_are_served_alike(
    gateway: str, seed: int, spans: bool, form: LogForm, way: Way
) -> None:
    """In any order and some at once, where rates are used up and the gateway is full."""
    long = _long(way, gateway, seed, spans, form)
    assert_same(_steps(seed), gateway, way, long, spans=spans, form=form)
