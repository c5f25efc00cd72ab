"""Secrets are found by name and by shape; everything is bounded; what is harmless stays."""

import re
import time
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from holdfast.contract.secret_names import is_secret_name
from holdfast.observability.redact import (
    REDACTED,
    bounded,
    bounded_fields,
    describe,
    is_suspicious,
    scrub,
)

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
CARD = "4111111111111111"


@pytest.mark.parametrize(
    "name",
    [
        *("authorization", "Authorization", "cookie", "set-cookie", "Set-Cookie", "password"),
        *(
            "db_password",
            "userPassword",
            "accesstoken",
            "access_token",
            "X-Auth-Token",
            "refreshToken",
        ),
        *("secret", "client_secret", "key", "api_key", "apiKey", "APIKey", "card", "cardNumber"),
        *("cards", "card.number", "cvv", "pan", "credentials", "private_key", "jwt", "keys"),
    ],
)
def test_secret_names_are_known(name: str) -> None:
    """Words count in every spelling: snake, camel, kebab, plural, run together."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "order_id",
        "monkey",
        "keyboard",
        "company",
        "cardinality",
        "status",
        "route",
        "pinned",
        "span",
    ],
)
def test_harmless_names_stay(name: str) -> None:
    """A secret word inside another word does not count."""
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"got {JWT} from alice", JWT),
        (f"got {JWT[:40]}", JWT[:40]),
        ("Authorization: Bearer abc123", "abc123"),
        ("header 'authorization': 'abc123', rest", "abc123"),
        ("called with BEARER abc123.", "abc123"),
        ("Bearer\tabc123", "abc123"),
        ("Basic dXNlcjpwYXNz was refused", "dXNlcjpwYXNz"),
        ("Cookie: session=abc; theme=dark", "session=abc"),
        (f"card {CARD} was refused", CARD),
        ("card 4111 1111 1111 1111", "1111 1111"),
        ("card 4111-1111-1111-1111 12/27", "1111-1111"),
        ("22 5555555555554444 11", "5555555555554444"),
        ("amex 3782 822463 10005.", "822463"),
        ("connect postgres://shop:hunter2@db:5432/shop failed", "hunter2"),
        ("redis://:hunter2@cache", "hunter2"),
        ("password=hunter2&x=1", "hunter2"),
        ("""{"password": "hunter 2"}""", "hunter 2"),
        ("api_key: 'abc-def'", "abc-def"),
        ('sent {\\"password\\": \\"hunter2\\"}', "hunter2"),
        ("[(b'cookie', b'session=abc')]", "session"),
        ("[('x-api-key', 'abc-def'), ('accept', '*/*')]", "abc-def"),
        ("client_secret=abc", "abc"),
        ("passphrase: abc", "abc"),
        ("pwd: abc", "abc"),
        ("credential: abc", "abc"),
        ("cvc: 123", "123"),
        ("cvv: 123", "123"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "MIIabc"),
        ("[SQL: INSERT]\n[parameters: ('alice', 'Elm Street')]", "Elm Street"),
    ],
)
def test_secret_shapes_are_replaced(text: str, secret: str) -> None:
    """What looks secret is replaced wherever it stands in a text."""
    found = scrub(text)

    assert secret not in found
    assert REDACTED in found
    assert scrub(found) == found


@pytest.mark.parametrize(
    "text",
    [
        "0190a5b2-7c3d-7abc-8def-0123456789ab",
        "41111111-1111-1111-1111-111111111111",
        "order 41111111-1111-1111-1111-111111111111 placed",
        "1790000000000",
        "4111111111111112",
        "took 0.4111111111111111 s",
        "2026-10-05 12:34:56.789",
        "POST /v1/orders?page=2",
        "https://shop.example/v1/orders",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "an answer with bearing",
    ],
)
def test_harmless_texts_stay(text: str) -> None:
    """Ids, times, measurements and plain words are not taken for secrets."""
    assert scrub(text) == text


@given(st.text(max_size=30), st.sampled_from([JWT, f"Bearer {JWT}", CARD]), st.text(max_size=30))
def test_a_secret_between_any_texts_is_replaced(before: str, secret: str, after: str) -> None:
    """Surroundings of any kind, set apart by a blank, hide no secret."""
    found = scrub(f"{before} {secret} {after}")

    assert JWT not in found
    assert CARD not in re.sub(r"\d{20,}", "", found)


@given(st.text(max_size=200))
def test_what_is_not_suspicious_has_nothing_to_scrub(text: str) -> None:
    """The quick look never passes a text that the close look would change."""
    assert is_suspicious(text) or scrub(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("a-" * 4096, "4 " * 4096, "1" * 8192, "://" * 2730, ":" * 8192, "://" + ":" * 8000),
        *("eyJ" * 2730, "bearer " * 1170, "password" * 1024, "token-" * 1365, "basic " * 1365),
        *("://a:" * 1638, "cookie" * 1365, "-----BEGIN " * 744, "[parameters: " * 630),
    ],
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    """No pattern backtracks: 8 KiB made to hurt take a millisecond, and could take minutes."""
    begun_s = time.process_time()

    scrub(text)

    assert time.process_time() - begun_s < 1


class Colour(StrEnum):
    """For the next test."""

    RED = "red"


class Person(BaseModel):
    """For the next test."""

    name: str
    age: int = 0


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (int(CARD), REDACTED),
        (0.1234567891, 0.123457),
        (Colour.RED, "red"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Decimal("1.50"), "1.50"),
        (b"body", "<bytes, 4 bytes>"),
        (SecretStr("hunter2"), "<SecretStr>"),
        (Person(name="alice"), "<Person>"),
        ({"password": "x", "n": [1, (2, 3)]}, {"password": REDACTED, "n": [1, "<2 items>"]}),
        (KeyError("password=hunter2"), f"KeyError: 'password={REDACTED}'"),
        (2**70, "0x400000000000000000"),
        ("\ud800", "\\ud800"),
    ],
)
def test_values_become_plain(value: object, written: object) -> None:
    """Scalars stay, containers are walked, everything else is its type."""
    assert bounded(value) == written


def test_long_values_are_cut_with_a_marker() -> None:
    """A value keeps 1,024 characters; so does a container, as JSON text."""
    assert bounded("a" * 5000) == "a" * 1024 + "…[cut]"
    assert len(str(bounded({str(n): "a" * 500 for n in range(50)}))) == 1024 + len("…[cut]")


def test_only_twenty_fields_are_kept() -> None:
    """Further fields, and long names, are cut."""
    kept = bounded_fields({f"{n:02}" + "x" * 100: n for n in range(30)})

    assert len(kept) == 20
    assert all(len(name) == 64 for name in kept)


def test_a_validation_error_is_described_without_the_input() -> None:
    """What a client sent stays out of the logs; where it was wrong is told."""
    with pytest.raises(ValidationError) as caught:
        Person.model_validate({"name": "alice", "age": "hunter2"})

    text = describe(caught.value)
    assert text.startswith("ValidationError: Person: age: Input should be a valid integer")
    assert "hunter2" not in text


def test_an_unprintable_error_is_described() -> None:
    """A broken __str__ does not break the log line."""

    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert describe(Broken()) == "Broken: [unprintable: RuntimeError]"
