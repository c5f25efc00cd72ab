"""What a client gets for what it should not have sent: never a 500, and nothing half done."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from holdfast import Rate
from shop.system import shop
from tests.e2e.conftest import Reply, Server

ORDER = {"lines": [{"sku": "KETTLE", "quantity": 1}], "card": "tok_ok"}


def problem(reply: Reply, status: int, code: str) -> dict[str, object]:
    """Check that an answer is a problem document without anything of our insides."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = reply.json()
    assert document["status"] == status
    assert document["code"] == code
    assert {"type", "title", "detail"} <= document.keys()
    assert b"Traceback" not in reply.body
    assert b".py" not in reply.body
    return document


def orders(server: Server) -> int:
    """Return how many orders are in the database."""
    assert server.run is not None
    path = server.run.process.folder.database("orders")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        count: int = database.execute("SELECT count(*) FROM customer_order").fetchone()[0]
    return count


@pytest.mark.parametrize("body", [b"{", b"", b"[1, 2", b"\xff\xfe", b'{"lines": NaN}', b"nul"])
def test_malformed_json_is_400(server: Server, body: bytes) -> None:
    """A body that is not JSON is refused before anything else is looked at."""
    before = orders(server)

    problem(server.request("POST", "/v1/orders", body), 400, "bad_request")
    assert orders(server) == before


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"lines": "x"}, "body.lines"),
        ({"lines": []}, "body.lines"),
        ({"lines": [{"sku": "KETTLE"}]}, "body.lines.0.quantity"),
        ({"lines": [{"sku": "KETTLE", "quantity": "many"}]}, "body.lines.0.quantity"),
        ({"lines": [{"sku": "KETTLE", "quantity": -1}]}, "body.lines.0.quantity"),
        ({"lines": [{"sku": "KETTLE", "quantity": 10**30}]}, "body.lines.0.quantity"),
        ({"lines": [{"sku": 7, "quantity": 1}]}, "body.lines.0.sku"),
        ({"lines": None}, "body.lines"),
        ([], "body"),
        ("text", "body"),
        (None, "body"),
    ],
)
def test_wrong_types_are_422_with_the_path_of_each_field(
    server: Server, body: object, path: str
) -> None:
    """The client learns which field does not fit, and why."""
    reply = server.request("POST", "/v1/orders", json.dumps(body).encode())

    errors = problem(reply, 422, "invalid")["errors"]
    assert isinstance(errors, list)
    assert path in [error["path"] for error in errors]


def test_each_bad_field_is_named(server: Server) -> None:
    """All problems come in one answer."""
    body = {"lines": [{"sku": 1, "quantity": 0}], "card": 5}
    reply = server.request("POST", "/v1/orders", json_body=body)

    errors = problem(reply, 422, "invalid")["errors"]
    assert isinstance(errors, list)
    named = {"body.lines.0.sku", "body.lines.0.quantity", "body.card"}
    assert named <= {error["path"] for error in errors}


def test_an_unknown_field_is_422(server: Server) -> None:
    """A misspelt field would otherwise be ignored; inside the body's parts too."""
    reply = server.request("POST", "/v1/orders", json_body={**ORDER, "coupon": "x"})
    nested = {"lines": [{"sku": "KETTLE", "quantity": 1, "price": 1}]}
    inner = server.request("POST", "/v1/orders", json_body=nested)

    assert "body.coupon" in str(problem(reply, 422, "invalid"))
    assert "body.lines.0.price" in str(problem(inner, 422, "invalid"))


def test_a_body_that_is_too_large_is_413(server: Server) -> None:
    """The limit of the gateway holds whether the length is announced or not."""
    problem(server.request("POST", "/v1/orders", b" " * ((1 << 20) + 1)), 413, "too_large")


def test_an_unknown_route_is_404(server: Server) -> None:
    """Nothing is told of what exists elsewhere."""
    for path in ("/", "/v1", "/v1/order", "/v1/orders/", "/v1//orders", "/v1/orders/1/x"):
        problem(server.request("GET", path), 404, "not_found")


def test_a_wrong_method_is_405_with_allow(server: Server) -> None:
    """The answer names the methods that the path serves."""
    reply = server.request("DELETE", "/v1/orders")

    problem(reply, 405, "method_not_allowed")
    assert reply.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer a.b.c",
        "Basic YTpi",
        "Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJhIn0.",
    ],
)
def test_no_token_or_a_bad_one_is_401(server: Server, header: str | None) -> None:
    """The answer carries the challenge that RFC 6750 asks for."""
    headers = {} if header is None else {"Authorization": header}
    reply = server.request("GET", "/v1/orders", token=None, headers=headers)

    problem(reply, 401, "unauthenticated")
    assert reply.headers["www-authenticate"].startswith("Bearer realm=")


def test_a_missing_scope_is_403(server: Server) -> None:
    """A token that was issued for less is known, and refused."""
    assert server.run is not None
    token = server.call(_token_without_scopes(server))

    reply = server.request("POST", "/v1/orders", json_body=ORDER, token=token)

    problem(reply, 403, "forbidden")
    assert 'error="insufficient_scope"' in reply.headers["www-authenticate"]


async def _token_without_scopes(server: Server) -> str:
    """Sign a token with the shop's own key, as its users service would."""
    import time

    from sqlalchemy import text

    from holdfast.security import SigningKey, TokenSigner
    from shop.users.messages import AUDIENCE, ISSUER

    assert server.run is not None
    (host,) = (h for h in server.run.process.hosts if h.name == "users")
    reader = await host.ledger.database.read()
    found = (await reader.execute(text("SELECT * FROM signing_key"))).mappings().first()
    await reader.close()
    assert found is not None
    (private,) = (v for v in found.values() if isinstance(v, str) and v.startswith("{"))
    signer = TokenSigner(SigningKey.from_json(private), issuer=ISSUER, audience=AUDIENCE)
    return signer.sign("ada", ["users:read"], now=time.time(), lifetime_s=60, token_id="t")


def test_another_customers_order_is_404(server: Server) -> None:
    """Whoever asks for what is not theirs does not learn that it exists."""
    placed = server.request("POST", "/v1/orders", json_body=ORDER)
    order = placed.json()["id"]
    other = server.register("eve@example.com")

    assert server.request("GET", f"/v1/orders/{order}").status == 200
    reply = server.request("GET", f"/v1/orders/{order}", token=other)
    assert reply.status == 404
    missing = server.request("GET", "/v1/orders/00000000-0000-7000-8000-000000000000", token=other)
    assert {**reply.json(), "correlation_id": ""} == {**missing.json(), "correlation_id": ""}


@pytest.mark.parametrize("order", ["1", "x" * 300, "%00", "%ff", "..%2f..%2fetc", "%F0%9F%98%80"])
def test_a_path_that_does_not_fit_is_422(server: Server, order: str) -> None:
    """Path parameters are validated like everything else."""
    problem(server.request("GET", f"/v1/orders/{order}"), 422, "invalid")


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=101", "after=1", "limit=1e3"])
def test_a_query_that_does_not_fit_is_422(server: Server, query: str) -> None:
    """The path of the field begins with `query`."""
    document = problem(server.request("GET", f"/v1/orders?{query}"), 422, "invalid")

    assert f"query.{query.partition('=')[0]}" in str(document["errors"])


def test_a_body_of_another_type_is_415(server: Server) -> None:
    """Forms are not JSON; the answer says what to send."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = server.request("POST", "/v1/orders", b"a=b", headers=headers)

    problem(reply, 415, "unsupported_media_type")


def test_nul_is_refused(server: Server) -> None:
    """Some databases cannot store it; it would be poison later."""
    body = {"email": "a\u0000b@example.com", "password": "a long password", "name": "x"}

    problem(server.request("POST", "/v1/users", json_body=body, token=None), 422, "invalid")


def test_over_the_rate_is_429() -> None:
    """A caller over its rate is told when to come back, and others are not held up."""
    tight = replace(
        shop,
        gateway=replace(
            shop.gateway,
            per_caller=Rate(per_s=0.5, burst=3),
            per_address=Rate(per_s=1_000, burst=1_000),
        ),
    )
    server = Server(tight)
    server.start()
    try:
        ada, eve = server.register("ada@example.com"), server.register("eve@example.com")
        answers = [server.request("GET", "/v1/orders", token=ada) for _ in range(6)]
        other = server.request("GET", "/v1/orders", token=eve)
    finally:
        server.stop()

    assert [a.status for a in answers[:3]] == [200, 200, 200]
    refused = answers[-1]
    problem(refused, 429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 2
    assert refused.headers["ratelimit"].startswith('"caller";r=0;t=')
    assert refused.headers["ratelimit-policy"] == '"caller";q=3;w=6'
    assert other.status == 200


def test_a_deadline_that_passed_is_504_and_nothing_is_written(server: Server) -> None:
    """A request that nobody waits for any more does not begin to write."""
    before = orders(server)
    headers = {"Holdfast-Deadline-Ms": "0"}

    reply = server.request("POST", "/v1/orders", json_body=ORDER, headers=headers)

    problem(reply, 504, "deadline_exceeded")
    assert orders(server) == before


def test_overload_is_503_with_retry_after() -> None:
    """Over its maximum of requests under way the gateway refuses at once; those under way end."""
    server = Server(replace(shop, gateway=replace(shop.gateway, requests_max=1)))
    server.start()
    person = {"email": "ada@example.com", "password": "a long password", "name": "Ada"}
    login = {"email": "ada@example.com", "password": "a long password"}
    try:
        server.request("POST", "/v1/users", json_body=person, token=None)

        def log_in(_: int) -> Reply:  # hashing the password takes long enough to overlap
            return server.request("POST", "/v1/tokens", json_body=login, token=None)

        with ThreadPoolExecutor(8) as threads:
            replies = list(threads.map(log_in, range(8)))
    finally:
        server.stop()

    refused = [reply for reply in replies if reply.status != 200]
    assert 1 <= len(refused) <= 7
    for reply in refused:
        problem(reply, 503, "overloaded")
        assert reply.headers["retry-after"] == "1"


def test_one_key_one_order(server: Server) -> None:
    """The same key and body give the same bytes again, and one order."""
    before = orders(server)
    headers = {"Idempotency-Key": "order-1"}

    first = server.request("POST", "/v1/orders", json_body=ORDER, headers=headers)
    again = server.request("POST", "/v1/orders", json_body=ORDER, headers=headers)

    assert (first.status, again.status) == (202, 202)
    assert first.body == again.body
    assert again.headers["idempotency-replayed"] == "true"
    assert orders(server) == before + 1


def test_one_key_for_two_requests_is_422(server: Server) -> None:
    """A key belongs to one request; another one under it is a mistake of the client."""
    headers = {"Idempotency-Key": "order-2"}
    server.request("POST", "/v1/orders", json_body=ORDER, headers=headers)
    other = {**ORDER, "lines": [{"sku": "KETTLE", "quantity": 2}]}

    reply = server.request("POST", "/v1/orders", json_body=other, headers=headers)

    problem(reply, 422, "invalid")


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_bad_key_is_400(server: Server, key: str) -> None:
    """A key that cannot be kept is refused instead of ignored."""
    headers = {"Idempotency-Key": key}

    problem(
        server.request("POST", "/v1/orders", json_body=ORDER, headers=headers), 400, "bad_request"
    )


def test_every_answer_carries_the_correlation_id(server: Server) -> None:
    """A harmless id of the client's is kept; any other is replaced."""
    kept = server.request("GET", "/v1/orders", headers={"X-Correlation-Id": "my-id-12345"})
    replaced = server.request("GET", "/v1/orders", headers={"X-Correlation-Id": "a b\tc<script>"})

    assert kept.headers["x-correlation-id"] == "my-id-12345"
    assert len(replaced.headers["x-correlation-id"]) == 32
