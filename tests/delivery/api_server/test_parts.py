"""Fields, owners and patches of the stand-in, by themselves."""

import pytest

from tests.delivery.api_server.fields import Owners, applied, leaves, merged, updated, whole
from tests.delivery.api_server.protobuf import object_of
from tests.delivery.api_server.resources import Discovery, Kind
from tests.delivery.judges.samples import system


def test_leaves_are_all_of_an_object() -> None:
    """Taken apart and put together it is the same, with its empty values and its lists."""
    for item in system():
        assert whole(leaves(item)) == item


def test_items_of_a_list_are_known_by_their_key() -> None:
    """So two managers may each have one container."""
    owners: Owners = {}
    first, owners, _ = applied(
        None, {"c": [{"name": "a", "image": "1"}]}, manager="x", owners=owners, force=False
    )
    both, owners, conflicts = applied(
        first, {"c": [{"name": "b", "image": "1"}]}, manager="y", owners=owners, force=False
    )

    assert conflicts == []
    assert both == {"c": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}


def test_the_same_value_is_shared_and_another_is_a_conflict() -> None:
    """Whoever shares a field and leaves it out lets it stand for the other."""
    one, owners, _ = applied(None, {"a": 1}, manager="x", owners={}, force=False)
    two, owners, conflicts = applied(one, {"a": 1}, manager="y", owners=owners, force=False)
    assert conflicts == []

    kept, left, _ = applied(two, {}, manager="x", owners=owners, force=False)
    same, _, conflicts = applied(two, {"a": 2}, manager="y", owners=owners, force=False)
    taken, _, _ = applied(two, {"a": 2}, manager="y", owners=owners, force=True)

    assert kept["a"] == 1 and left[("a",)] == {"y"}
    assert (same, conflicts) == ({"a": 1}, [(("a",), "x")])
    assert taken == {"a": 2}


def test_what_is_changed_without_apply_is_owned() -> None:
    """By whoever changed it; what stays is owned as before."""
    owners = updated({"a": 1, "b": 1}, {"a": 2, "b": 1}, manager="y", owners={("b",): {"x"}})

    assert owners == {("a",): {"y"}, ("b",): {"x"}}


@pytest.mark.parametrize(
    ("strategic", "patch", "wanted"),
    [
        (False, {"a": None, "b": {"c": 2}}, {"b": {"c": 2}, "l": [{"name": "x", "v": 1}]}),
        (False, {"l": [{"name": "y"}]}, {"a": 1, "l": [{"name": "y"}]}),
        (
            *(True, {"l": [{"name": "y"}]}),
            {"a": 1, "l": [{"name": "x", "v": 1}, {"name": "y"}]},
        ),
        (True, {"l": [{"name": "x", "v": 2}]}, {"a": 1, "l": [{"name": "x", "v": 2}]}),
        (True, {"l": [{"name": "x", "$patch": "delete"}]}, {"a": 1, "l": []}),
    ],
)
def test_a_merge_patch_is_merged(strategic: bool, patch: object, wanted: object) -> None:
    """JSON's replaces a list, the strategic one merges it by its key."""
    assert merged({"a": 1, "l": [{"name": "x", "v": 1}]}, patch, strategic=strategic) == wanted


def field(number: int, value: bytes) -> bytes:
    """Return a field of a message of protobuf."""
    return bytes([number << 3 | 2, len(value)]) + value


def test_a_secret_in_protobuf_is_decoded() -> None:
    """As Helm sends it: metadata with labels, data, and a type."""
    label = field(11, field(1, b"owner") + field(2, b"helm"))
    raw = field(1, field(1, b"r.v1") + label) + field(2, field(1, b"release") + field(2, b"abc"))
    raw += field(3, b"helm.sh/release.v1")
    body = b"k8s\x00" + field(1, field(1, b"v1") + field(2, b"Secret")) + field(2, raw)

    assert object_of(body) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "r.v1", "labels": {"owner": "helm"}},
        "data": {"release": "YWJj"},
        "type": "helm.sh/release.v1",
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "no protobuf"),
        (b"k8s\x00" + field(1, field(1, b"v1") + field(2, b"Pod")), "is not decoded here"),
    ],
)
def test_what_is_no_secret_is_refused(body: bytes, said: str) -> None:
    """And not taken for an empty one."""
    with pytest.raises(ValueError, match=said):
        object_of(body)


@pytest.mark.parametrize(
    ("kind", "plural"),
    [("NetworkPolicy", "networkpolicies"), ("Gateway", "gateways"), ("Ingress", "ingresses")],
)
def test_a_kind_has_its_plural(kind: str, plural: str) -> None:
    """As its API has it."""
    assert Kind("v1", kind).plural == plural


def test_every_kind_is_discovered_where_it_is_served() -> None:
    """In the resources of its version, and with a PATCH that validates fields."""
    discovery = Discovery(["keda.sh/v1alpha1/ScaledObject"])

    resources = discovery.answer("/apis/keda.sh/v1alpha1")
    openapi = discovery.answer("/openapi/v3/apis/keda.sh/v1alpha1")
    assert resources is not None and openapi is not None
    assert [one["name"] for one in resources["resources"]] == ["scaledobjects"]
    [patch] = [path["patch"] for path in openapi["paths"].values()]
    assert patch["parameters"][0]["name"] == "fieldValidation"
    assert discovery.answer("/apis/nobody/v1") is None
