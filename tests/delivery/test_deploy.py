"""What is committed of the shop's delivery is what its declaration says."""

from dataclasses import replace
from difflib import unified_diff
from pathlib import Path

from holdfast.delivery import differences, strangers
from holdfast.delivery.parts import render, rendering_of
from shop.inventory.messages import GetPrice
from shop.system import shop

ROOT = Path(__file__).parents[2]


def test_what_is_committed_is_what_is_declared() -> None:
    """`holdfast render shop --to deploy` writes it anew."""
    folder = ROOT / "deploy"
    files = render(rendering_of(shop, folder, typed="shop"))

    assert differences(files, folder) == []
    assert strangers(files, folder) == []


def test_one_edge_more_changes_the_files_of_its_two_ends_and_no_others() -> None:
    """Payments asks inventory for a price: a rule on both sides."""
    payments = shop.service("payments")
    asks = replace(payments, calls=[*payments.calls, GetPrice])
    for name in ("handlers", "routes", "sagas", "jobs", "providers"):
        getattr(asks, name).extend(getattr(payments, name))
    services = [asks if service is payments else service for service in shop.services]
    before, after = (
        render(rendering_of(system, ROOT / "deploy", typed="shop"))
        for system in (shop, replace(shop, services=services))
    )

    changed = {
        path: [
            line[1:].strip()
            for line in unified_diff(before[path].splitlines(), after[path].splitlines(), n=0)
            if line.startswith(("+ ", "- "))
        ]
        for path in after
        if after[path] != before[path]
    }
    ends = {"payments.yaml", "inventory.yaml"}
    folders = ("kubernetes/staging", "kubernetes/production", "kustomize/base")
    both = {f"{folder}/{end}" for folder in (*folders, "helm/shop/templates") for end in ends}
    assert before.keys() == after.keys()
    assert both <= changed.keys()
    edge = "# edge: payments → inventory: query GetPrice.v1"
    assert all(edge in changed[path] for path in both)
    assert changed.keys() == both
