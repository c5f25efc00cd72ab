"""A process and its identity: which one it may have, and what it tells strangers."""

import io
import json
import re
import time
from pathlib import Path

import pytest

from holdfast.contract.http import Peer, Request
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.errors import SettingError
from holdfast.observability import Health, Logger, Metrics
from holdfast.runtime.identity import IdentityWatch, RefusedPeers, check_hosted, identity_of
from holdfast.runtime.pages import OperationsPages
from tests.identities import Identities, forge


@pytest.fixture
def bakery(tmp_path: Path) -> Identities:
    return Identities(tmp_path / "identities")


class SetClock:
    """A clock that is ahead of this machine's."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


def told(bakery: Identities, name: str) -> dict[str, str]:
    files = bakery.authority.issue(name)
    return {
        "HOLDFAST_CERT": str(files.certificate),
        "HOLDFAST_KEY": str(files.key),
        "HOLDFAST_CA": str(files.trusted),
    }


def test_an_environment_without_files_is_nobody(bakery: Identities) -> None:
    """Processes without identities go on as before."""
    assert identity_of({}, "bakery", RefusedPeers()) is None


@pytest.mark.parametrize("missing", ["HOLDFAST_CERT", "HOLDFAST_KEY", "HOLDFAST_CA"])
def test_half_an_identity_is_refused(bakery: Identities, missing: str) -> None:
    """Whoever forgets one of them must not run in clear."""
    environ = told(bakery, "oven")
    del environ[missing]

    with pytest.raises(SettingError, match=f"goes with {missing}; set all three, or none"):
        identity_of(environ, "bakery", RefusedPeers())


def test_it_is_refused_where_it_hosts_another_service(bakery: Identities) -> None:
    """It would be refused by all others, one by one."""
    oven = identity_of(told(bakery, "oven"), "bakery", RefusedPeers())
    everything = identity_of(told(bakery, "all"), "bakery", RefusedPeers())
    assert oven is not None
    assert everything is not None

    check_hosted(oven, ["oven"], gateway=False)
    check_hosted(everything, ["oven", "counter"], gateway=True)
    for hosted, gateway in ((["counter"], False), (["oven", "counter"], False), (["oven"], True)):
        with pytest.raises(SettingError, match="HOLDFAST_CERT: it is of oven, and this process"):
            check_hosted(oven, hosted, gateway=gateway)


def test_each_trouble_is_said_once(bakery: Identities) -> None:
    """Another one is another line; the same again, some seconds later, is none."""
    oven = identity_of(told(bakery, "oven"), "bakery", RefusedPeers())
    assert oven is not None
    log = io.BytesIO()
    logger = Logger(log, MachineClock(), "bakery")
    watch = IdentityWatch(oven, logger)
    files = bakery.authority.issue("oven")
    good = files.key.read_bytes()
    for spoilt in (b"no", b"no", bakery.authority.issue("till").key.read_bytes(), good):
        files.key.write_bytes(spoilt)
        watch.look()
    logger.close()

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [
        *("identity.trouble", "identity.trouble", "identity.renewed")
    ]
    assert "no private key in PEM" in lines[0]["why"]
    assert "not the key of the certificate" in lines[1]["why"]


@pytest.mark.parametrize(
    ("ends_s", "newer", "said"),
    [
        (400, None, r"^its certificate expires in \d+ s, and no other has come$"),
        (400, "no", r"certificate=\S+: no certificates .*; its certificate expires in \d+ s$"),
        (-1, None, r"^its certificate expired \d+ s ago: nobody takes it any more$"),
        (
            -1,
            "no",
            r"certificate=\S+: no certificates .*; its certificate expired \d+ s ago: nobody .*$",
        ),
    ],
)
def test_newer_files_that_are_no_good_are_said_before_the_end(
    bakery: Identities, tmp_path: Path, ends_s: float, newer: str | None, said: str
) -> None:
    """They are there, and to be mended: to hear that none has come would lead elsewhere."""
    clock = SetClock()
    bakery.authority.issue("oven")
    files = forge(tmp_path / "identities", begins_s=-4000, ends_s=1000)
    oven = TlsIdentity(files, "bakery", clock, RefusedPeers())
    watch = IdentityWatch(oven, Logger(io.BytesIO(), MachineClock(), "bakery"))
    if newer is not None:
        files.certificate.write_text(newer)
    clock.ahead_s = 1000 - ends_s
    watch.look()

    assert re.search(said, watch.trouble() or "")


@pytest.mark.parametrize(
    ("peer", "metrics"), [("", 403), ("oven", 403), ("monitoring", 200), ("operator", 200)]
)
async def test_strangers_see_whether_it_is_ready_and_no_more(peer: str, metrics: int) -> None:
    """A probe has no certificate; metrics name every route and every peer."""
    health = Health()

    async def trouble() -> str | None:
        return "the secret of the oven"

    health.watch("oven", trouble)
    health.started()
    pages = OperationsPages(health, Metrics("bakery", []), proven=True)

    async def get(path: str) -> tuple[int, bytes]:
        answer = await pages(Request("GET", path, peer=Peer("127.0.0.1", "https", peer)))
        return answer.status, answer.body

    assert (await get("/metrics"))[0] == metrics
    status, body = await get("/health/ready")
    assert status == 200
    assert (b"the secret of the oven" in body) is (metrics == 200)
    assert (await get("/health/live"))[0] == 200
    assert (await get("/anything"))[0] == 404
