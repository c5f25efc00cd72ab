"""The ways that policies leave open are exactly those of the sample's graph."""

import pytest

from tests.delivery.judges.network import Way, way_problems, ways
from tests.delivery.judges.samples import changed, system

pytestmark = pytest.mark.deploy

DNS = "kube-system/k8s-app=kube-dns"
WANTED = {
    Way("gateways/*", "store/orders", 8080),
    Way("store/orders", "store/stock", 8080),
    *(
        Way(f"store/{service}", DNS, 53, protocol)
        for service in ("orders", "stock", "database")
        for protocol in ("TCP", "UDP")
    ),
}


def test_the_ways_of_the_sample_are_those_of_its_graph() -> None:
    """Named ports are the receiver's, and both ends must agree."""
    assert ways(system()) == WANTED
    assert way_problems(system(), WANTED) == []


def test_an_edge_without_its_rule_is_missed() -> None:
    """A service that the graph has, and the network does not."""
    broken = changed("NetworkPolicy", "orders", "spec/egress", [])

    assert way_problems(broken, WANTED) == ["missing: store/orders -> store/stock:8080/TCP"]


def test_a_rule_without_its_edge_is_seen() -> None:
    """Whoever is not in the graph does not come in."""
    broken = changed(
        *("NetworkPolicy", "stock", "spec/ingress/0/from/-"),
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}},
    )

    assert way_problems(broken, WANTED) == ["too much: other/* -> store/stock:8080/TCP"]


def test_addresses_outside_are_ways_too() -> None:
    """A block of addresses is a party by itself."""
    broken = changed(
        *("NetworkPolicy", "orders", "spec/egress/-"),
        {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 5432}]},
    )

    assert Way("store/orders", "10.1.0.0/16", 5432) in ways(broken)
