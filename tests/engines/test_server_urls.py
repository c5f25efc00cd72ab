"""A password that was not escaped is refused, and shown to nobody."""

from pathlib import Path

import pytest

from holdfast.engines.postgres_url import read_postgres_url
from holdfast.engines.server_urls import check_authority, parts_of
from holdfast.errors import SettingError
from holdfast.runtime.engines import engines_of

SCHEMES = {
    "DATABASE_URL": "postgresql",
    "BROKER_URL": "nats",
    "REDIS_URL": "redis",
}
PASSWORDS = [
    "hunt/ers",
    "hunt#ers",
    "hunt?ers",
    "hunt@ers",
    "71/84",
    "71?84",
    "71#84@ers",
    "a:b/hunt@ers",
]
GOOD = [
    "postgresql://ada:p%2Fw%40@db:5432/shop",
    "postgresql://ada:p:w[%@db/shop",
    "postgresql://ada:pw@/shop",
    "postgresql://ada@%2Ftmp/shop",
    "postgresql://one:5432,two:5433/shop",
    "redis://:pw@[::1]:6379/0",
    "nats://token@host:4222",
    "nats://host",
]


def told(variable: str, url: str) -> str:
    """Return what is said of a URL in the environment."""
    with pytest.raises(SettingError) as refused:
        engines_of("tiny", ["desk"], {variable: url}, Path, threads=1)
    return str(refused.value)


@pytest.mark.parametrize("variable", SCHEMES)
@pytest.mark.parametrize("password", PASSWORDS)
async def test_what_is_not_escaped_is_refused_unseen(variable: str, password: str) -> None:
    """By its variable, with how to write it; else a part of it would be looked up as a host."""
    said = told(variable, f"{SCHEMES[variable]}://ada:{password}@127.0.0.1:1/shop")

    assert variable in said
    assert "%2F for /" in said
    for part in ("hunt", "ers@", "71", "84", "ada"):
        assert part not in said


@pytest.mark.parametrize("variable", SCHEMES)
@pytest.mark.parametrize("scheme", ["amqp://", "", "rediss+x://", "ada:one"])
async def test_a_url_of_another_kind_is_not_repeated(variable: str, scheme: str) -> None:
    """Only what it begins with."""
    said = told(variable, f"{scheme}ada:two@host")

    assert variable in said
    assert "write it as" in said
    assert "two" not in said
    assert "ada" not in said


@pytest.mark.parametrize("port", ["bad", "70000", "1:2", "-1"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    """It was a traceback, or a client that tried for ever."""
    with pytest.raises(ValueError, match="is no port"):
        check_authority(f"nats://host:{port}")


@pytest.mark.parametrize("url", GOOD)
def test_what_is_plain_is_taken(url: str) -> None:
    """Sockets, several hosts, IPv6, and what is escaped."""
    check_authority(url)


def test_a_shown_url_has_no_password() -> None:
    """Whatever is in it."""
    read = read_postgres_url("postgresql://ada:p%40:w[@db:5432/shop?password=pw")

    assert read.shown == "postgresql://db:5432/shop"
    assert (read.user, read.password) == ("ada", "pw")
    assert "w[" not in repr(read)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("postgresql://ada:p%40:w[@db:5432/shop", ("ada", "p@:w[", "db:5432")),
        ("postgresql:///shop", ("", "", "")),
        ("redis://:pw@[::1]:6379/0", ("", "pw", "[::1]:6379")),
        ("nats://a:1,b:2", ("", "", "a:1,b:2")),
        ("unix://limits@/run/redis.sock", ("limits", "", "")),
    ],
)
def test_parts_are_told_apart(url: str, parts: tuple[str, str, str]) -> None:
    """Also where the library's parser gives up."""
    assert parts_of(url) == parts
