"""Which route serves a method and a path."""

import itertools
from typing import Any

import pytest

from holdfast.contract.http import Request, Response
from holdfast.dispatch.router import Router, Target
from holdfast.errors import BadRequest, Invalid, MethodNotAllowed, NotFound


async def serve(request: Request, path: dict[str, str]) -> Response:
    """Serve nothing; these tests only look for it."""
    raise AssertionError


def target(template: str) -> Target:
    """Return a target that its template tells apart."""
    return Target("orders", template, serve, True, None)


def routed(*routes: str) -> Router:
    """Return a router of `GET /path` routes."""
    router = Router()
    for route in routes:
        method, _, template = route.partition(" ")
        router.add(method, target(template))
    return router


def found(router: Router, route: str) -> tuple[str, dict[str, str]]:
    """Return the template and the path parameters of what serves a request."""
    method, _, path = route.partition(" ")
    hit, names = router.find(method, path)
    return hit.template, names


@pytest.mark.parametrize("first", [0, 1])
def test_a_static_path_wins_over_a_parameter(first: int) -> None:
    """`/orders/mine` is never taken for an order's id, whichever was declared first."""
    routes = ["GET /orders/{id}", "GET /orders/mine"]
    router = routed(routes[first], routes[1 - first])

    assert found(router, "GET /orders/mine") == ("/orders/mine", {})
    assert found(router, "GET /orders/7") == ("/orders/{id}", {"id": "7"})


@pytest.mark.parametrize("path", ["/", "/orders", "/orders/", "/orders/1/2", "/Orders/1", "//1"])
def test_a_path_that_nobody_declared_is_not_found(path: str) -> None:
    """Neither a slash more nor one less is forgiven, and a parameter is one segment, not empty."""
    with pytest.raises(NotFound, match=f"there is no route {path}$"):
        routed("GET /orders/{id}").find("GET", path)


@pytest.mark.parametrize("template", ["/orders", "/orders/{id}"])
def test_a_method_that_is_not_served_is_told_which_are(template: str) -> None:
    """The answer's Allow names them in order, HEAD with GET."""
    router = routed(f"POST {template}", f"GET {template}")

    with pytest.raises(MethodNotAllowed, match="does not serve DELETE") as caught:
        router.find("DELETE", template.replace("{id}", "1"))
    assert caught.value.headers == {"Allow": "GET, HEAD, POST"}


def test_head_is_served_by_get_only() -> None:
    """A route of POST alone has no HEAD."""
    router = routed("GET /orders", "POST /sales")

    assert found(router, "HEAD /orders")[0] == "/orders"
    with pytest.raises(MethodNotAllowed, match="does not serve HEAD"):
        router.find("HEAD", "/sales")


def test_a_segment_is_decoded_once() -> None:
    """`%2F` is a slash inside the value, and `%2541` is not decoded to `A`."""
    router = routed("GET /files/{name}")

    assert found(router, "GET /files/a%2Fb%20c") == ("/files/{name}", {"name": "a/b c"})
    assert found(router, "GET /files/%2541") == ("/files/{name}", {"name": "%41"})
    assert found(router, "GET /files/%C3%A4") == ("/files/{name}", {"name": "ä"})


@pytest.mark.parametrize(
    ("raw", "why"),
    [("%ff", "path.name is not UTF-8"), ("a%00b", "path.name holds the character NUL")],
)
def test_a_segment_that_is_no_text_is_invalid(raw: str, why: str) -> None:
    """Bytes that no database would store are refused at the door."""
    with pytest.raises(Invalid, match=why):
        routed("GET /files/{name}").find("GET", f"/files/{raw}")


def test_what_looks_like_a_pattern_in_a_template_is_text() -> None:
    """A dot in a path is a dot."""
    router = routed("GET /v1.0/{id}")

    assert found(router, "GET /v1.0/7") == ("/v1.0/{id}", {"id": "7"})
    with pytest.raises(NotFound, match="there is no route"):
        router.find("GET", "/v1x0/7")


def test_methods_of_one_path_may_name_its_parameter_differently() -> None:
    """Each route gets its value under the name that its own function uses."""
    router = routed("GET /orders/{id}", "DELETE /orders/{order_id}")

    assert found(router, "GET /orders/7") == ("/orders/{id}", {"id": "7"})
    assert found(router, "DELETE /orders/7") == ("/orders/{order_id}", {"order_id": "7"})


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/old", "/old"),
        ("/old/a/b", "/old"),
        ("/old/new", "/old/new"),
        ("/old/new/x", "/old/new"),
        ("/older", None),
        ("/orders", None),
    ],
)
def test_a_mounted_app_gets_what_no_route_takes(path: str, prefix: Any) -> None:
    """A mount is a prefix of whole segments; the longest one wins, and every route before it."""
    router = routed("GET /orders")
    for mounted in ("/old", "/old/new"):
        router.mount(mounted, target(mounted))

    if prefix is not None:
        assert found(router, f"GET {path}") == (prefix, {})
    elif path == "/orders":
        assert found(router, f"GET {path}") == ("/orders", {})
    else:
        with pytest.raises(NotFound, match="there is no route"):
            router.find("GET", path)


@pytest.mark.parametrize(
    "path",
    [
        "//orders/7",
        "/orders//7",
        "//a:b",
        "//admin/x",
        "/a%3Ab",
        "/orders%2F7",
        "/orders%5C7",
        "/x/..%2Forders%2F7",
        "/admin%2Fx",
        "/x%2F..%2Fadmin",
    ],
)
def test_another_reading_is_no_way_past_a_route(path: str) -> None:
    """An app reads its path itself: where it may see that of a route, it gets none."""
    router = routed("GET /a:b", "GET /orders/{id}")
    router.mount("", target("/"))
    router.mount("/admin", target("/admin/"))

    with pytest.raises(NotFound, match="there is no route"):
        router.find("GET", path)


def test_an_app_gets_escaped_paths_of_its_own() -> None:
    """A slash in a name, where no route would be meant."""
    router = routed("GET /orders/{id}")
    router.mount("/files", target("/files/"))

    assert found(router, "GET /files/a%2Fb%20c") == ("/files/", {})
    assert found(router, "GET /files//a") == ("/files/", {})
    with pytest.raises(BadRequest, match="NUL"):
        router.find("GET", "/files/a%00b")


@pytest.mark.parametrize(
    ("asked", "template"),
    [
        ("GET /orders/mine", "/orders/mine"),
        ("HEAD /orders/mine", "/orders/mine"),
        ("DELETE /orders/mine", "/orders/{id}"),
        ("PUT /orders/mine", "/{kind}/mine"),
        ("POST /orders/items", "/orders/{id}"),
        ("GET /orders/items", "/{kind}/items"),
        ("PATCH /orders/items", "/{kind}/{id}"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_a_template_without_the_method_hides_no_other(
    order: int, asked: str, template: str
) -> None:
    """Every template that fits is asked for the method, in whatever order they were declared."""
    routes = [
        "GET /orders/mine",
        "DELETE /orders/{id}",
        "POST /orders/{id}",
        "PUT /{kind}/mine",
        "GET /{kind}/items",
        "PATCH /{kind}/{id}",
    ]

    assert found(routed(*routes[::order]), asked)[0] == template


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/orders/mine", "/orders/mine"),
        ("/orders/7", "/orders/{id}"),
        ("/orders/v7", "/orders/v{id}"),
        ("/books/7", "/{kind}/{kind_id}"),
        ("/books/mine", "/{kind}/mine"),
        ("/a_b/7", "/{a}_{b}/{id}"),
    ],
)
def test_the_most_special_template_is_served_in_whatever_order(path: str, template: str) -> None:
    """One that says more is not hidden by one that says less, declared before it elsewhere."""
    templates = ["/orders/mine", "/orders/{id}", "/orders/v{id}", "/{kind}/mine"]
    templates += ["/{kind}/{kind_id}", "/{a}_{b}/{id}"]

    for order in itertools.permutations(templates):
        if order.index("/orders/{id}") < order.index("/{kind}/mine"):
            assert found(routed(*(f"GET {t}" for t in order)), f"GET {path}")[0] == template


def test_a_refused_method_is_told_those_of_every_template() -> None:
    """Allow is what a client may do with this very path."""
    router = routed("GET /orders/mine", "DELETE /orders/{id}", "PUT /{kind}/mine", "POST /x")

    with pytest.raises(MethodNotAllowed) as caught:
        router.find("PATCH", "/orders/mine")
    assert caught.value.headers == {"Allow": "DELETE, GET, HEAD, PUT"}
