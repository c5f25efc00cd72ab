"""What real servers do beside what one would guess; and where default deny is shown of each."""

from pathlib import Path, PurePath

import pytest

from holdfast.contract.spiffe import NOT_SERVICES, SERVERS
from holdfast.runtime.nats_rights import nats_rights
from holdfast.runtime.nats_settings import nats_accounts, nats_tls
from shop.system import shop


def test_a_parcel_may_be_acknowledged_in_both_spellings() -> None:
    """Newer servers spell the subject otherwise; without the right it is delivered for ever."""
    rights = nats_rights(shop.graph())

    for service in ("orders", "payments"):
        for lane in ("work", "urgent"):
            stream = f"shop_{service}_{lane}"
            assert f"$JS.ACK.{stream}.{stream}.>" in rights[service].publish
            assert f"$JS.ACK.*.*.{stream}.{stream}.>" in rights[service].publish


def test_every_workload_has_its_rights_at_nats_or_may_not_connect() -> None:
    """A list of what may be heard leaves publishing open: both are said, for each."""
    rights = nats_rights(shop.graph())
    text = nats_accounts(shop.graph())

    services = {service.name for service in shop.services}
    assert services < rights.keys() <= services | NOT_SERVICES
    assert not rights.keys() & {*SERVERS, "gateway", "operator", "migrator", "monitoring"}
    assert all(one.publish and one.subscribe and one.denied for one in rights.values())
    assert text.count("publish: {") == text.count("subscribe: {") == len(rights)
    assert "_INBOX.>" not in text


def test_nats_says_nothing_before_tls_and_goes_by_the_uri() -> None:
    """`tls://` alone is no demand: a client may be answered in clear, unless TLS comes first."""
    text = nats_tls(PurePath("a"), PurePath("b"), PurePath("c"))

    for line in ("verify_and_map: true", "handshake_first: true", 'min_version: "1.3"'):
        assert line in text


MATRICES = {
    "security/test_matrix.py": (
        "test_what_the_graph_declares_succeeds_and_nothing_else",
        "test_operations_tell_strangers_whether_it_lives_and_no_more",
    ),
    "runtime/test_nats_rights.py": (
        "test_each_workload_publishes_what_the_graph_declares",
        "test_each_workload_hears_its_own_inbox_alone",
        "test_who_has_no_business_there_may_not_connect",
    ),
    "runtime/test_postgres_identity.py": (
        "test_exactly_what_is_declared_succeeds_with_certificates",
        "test_who_is_no_service_has_no_database",
    ),
}
"""Everybody with everything: at the doors, at NATS, at Postgres."""


@pytest.mark.parametrize("file", MATRICES)
def test_default_deny_is_shown_of_every_workload(file: str) -> None:
    """Those tests are there; and who is no service comes by the list of all that there are."""
    folder = Path(__file__).parents[1]
    text = "".join(
        (folder / one).read_text()
        for one in (file, file.replace("test_matrix", "matrix"))
        if (folder / one).exists()
    )

    assert "NOT_SERVICES" in text
    for name in MATRICES[file]:
        assert f"async def {name}(" in text
