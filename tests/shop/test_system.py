"""The shop as a declaration: what it is checked for, and what its modules import."""

import subprocess
import sys

from holdfast import Query
from shop.system import shop

NAMES = [service.name for service in shop.services]


def test_the_declaration_is_right() -> None:
    """Every message has its handler, and everything that is sent is declared."""
    shop.check()

    assert NAMES == ["users", "inventory", "orders", "payments", "notifications"]


def test_who_talks_to_whom() -> None:
    """The graph is the whole of it: orders asks, reserves and charges; payments pays."""
    edges = {
        (edge.sender, edge.receiver, edge.message)
        for edge in shop.graph().edges
        if edge.kind not in ("route", "external")
    }

    assert edges == {
        ("orders", "inventory", "GetPrice.v1"),
        ("orders", "inventory", "Reserve.v1"),
        ("orders", "inventory", "Release.v1"),
        ("orders", "payments", "Charge.v1"),
        ("orders", "payments", "Refund.v1"),
        ("orders", "inventory", "OrderConfirmed.v1"),
        ("orders", "notifications", "OrderConfirmed.v1"),
        ("orders", "notifications", "OrderCancelled.v1"),
    }


def test_only_the_door_is_public() -> None:
    """Everything but opening an account, logging in and looking around needs a token."""
    public = {
        f"{route.method} {route.path}"
        for service in shop.services
        for route in service.routes
        if route.public
    }

    assert public == {"POST /v1/users", "POST /v1/tokens", "GET /v1/stock"}


def test_logins_are_not_recorded() -> None:
    """An Idempotency-Key must not keep a token."""
    (login,) = [r for s in shop.services for r in s.routes if r.path == "/v1/tokens"]

    assert not login.record


def test_messages_bring_nothing_else_along() -> None:
    """Whoever imports what a service offers gets no tables, no handlers and no SQLAlchemy."""
    modules = ", ".join(f"shop.{name}.messages" for name in NAMES)
    code = f"import sys, {modules}; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()

    assert {name for name in loaded if name.startswith("shop.") and name.count(".") == 2} == {
        f"shop.{name}.messages" for name in NAMES
    }
    assert "sqlalchemy" not in loaded


def test_keys_are_asked_for_inside() -> None:
    """The gateway verifies tokens with keys that users brings, over a query."""
    tokens = shop.gateway.tokens
    assert tokens is not None
    keys = tokens.keys

    assert isinstance(keys, type) and issubclass(keys, Query)
    assert shop.owner_of(keys) == "users"
