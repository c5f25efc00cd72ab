"""The certificate that clients see: what is said of it, and to whom it is given."""

import io
import json
from pathlib import Path

import pytest

from holdfast import Service, System
from holdfast.engines.machine import MachineClock
from holdfast.engines.public_tls import PublicFiles, PublicTls
from holdfast.observability import Health, Logger, Metrics
from holdfast.runtime.public_certificate import PUBLIC, FailedHandshakes, PublicWatch
from holdfast.runtime.supervisor import Supervisor
from tests.public_pairs import DAY_S, Mounted, PublicAuthority


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def lines(log: io.BytesIO) -> list[dict[str, object]]:
    """Return what was logged."""
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_handshakes_that_fail_are_a_line_a_second(tmp_path: Path) -> None:
    """Each is counted by its reason, and the next line says of how many it tells."""
    clock, log = Hands(), io.BytesIO()
    logger = Logger(log, MachineClock(), "bakery")
    told, metrics = FailedHandshakes(logger, clock), Metrics("bakery", [])
    told.watch(metrics)
    for at in (0.0, 0.1, 0.2, 0.9, 1.0, 1.5, 2.5):
        clock.at = at
        told("192.0.2.1", "gone" if at else "refused", "in other words")
    logger.close()

    found = [(line["event"], line["reason"], line["count"]) for line in lines(log)]
    assert found == [
        ("handshake.failed", "refused", 1),
        ("handshake.failed", "gone", 4),
        ("handshake.failed", "gone", 2),
    ]
    page = metrics.render().decode()
    assert 'holdfast_handshakes_failed_total{reason="gone"} 6' in page
    assert 'holdfast_handshakes_failed_total{reason="refused"} 1' in page
    assert 'holdfast_handshakes_failed_total{reason="timed_out"} 0' in page


@pytest.mark.parametrize(
    ("left_s", "late"), [(15.1 * DAY_S, False), (14.9 * DAY_S, True), (60.0, True)]
)
def test_a_certificate_that_nobody_renews_is_an_alarm_long_before_its_end(
    tmp_path: Path, left_s: float, late: bool
) -> None:
    """A sixth of its life is left: 15 days of 90, a day of six."""
    log = io.BytesIO()
    logger = Logger(log, MachineClock(), "bakery")
    pair = PublicAuthority().issue(begins_s=left_s - 90 * DAY_S, ends_s=left_s)
    mounted = Mounted(tmp_path / "public", pair)
    tls = PublicTls(PublicFiles(mounted.certificate, mounted.key), MachineClock())
    metrics = Metrics("bakery", [])
    watch = PublicWatch(tls, logger, PUBLIC)
    watch.watch(Health(), metrics)
    watch.look()
    watch.look()
    logger.close()

    assert [line["event"] for line in lines(log)] == ["certificate.trouble"] * late
    assert f'holdfast_certificate_trouble{{certificate="public"}} {int(late)}' in (
        metrics.render().decode()
    )


def test_the_gateway_alone_is_told_of_the_key(tmp_path: Path) -> None:
    """A service that is broken into cannot tell what it was not told."""
    mounted = Mounted(tmp_path / "public", PublicAuthority().issue())
    supervisor = Supervisor(
        System("small", services=[Service("shop")]),
        "small",
        tmp_path / "data",
        host="127.0.0.1",
        port=0,
        ops_port=None,
        replicas={},
        environ={"BROKER_URL": "nats://nowhere", **mounted.environ},
        drain_s=1.0,
    )
    told = {
        name: {variable for variable in supervisor._environ_of(name) if "_TLS_" in variable}
        for name in supervisor.members
    }

    assert told == {"shop-1": set(), "gateway": {"HOLDFAST_TLS_CERT", "HOLDFAST_TLS_KEY"}}
    assert supervisor.url.startswith("https://127.0.0.1:")
