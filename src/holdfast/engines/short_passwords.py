"""Passwords that do not last: read, or asked for, anew for each new connection.

A file that somebody else keeps new (an agent of Vault, a Secret of Kubernetes), or a token of the
cloud that the database is in, which lives for a quarter of an hour or an hour. What is open goes on
with what it was let in by, until it is too old.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from types import ModuleType

from holdfast.engines.secret_text import read_text

PARAMETERS = ("passwordfile", "passwordfrom", "region")
CLOUDS = ("rds", "cloudsql")
_SCOPE = "https://www.googleapis.com/auth/sqlservice.login"
ShortPassword = Callable[[], Awaitable[str]]


def short_password(
    given: Mapping[str, str], *, user: str, host: str, port: int
) -> ShortPassword | None:
    """Return what gives the password of a URL's parameters; None: they ask for none.

    Args:
        user, host, port: whom and what a token is for.
    Raises:
        ValueError: a value is not known, or its package is not installed; with the remedy.
    """
    kind = given.get("passwordfrom", "")
    if "region" in given and kind != "rds":
        raise ValueError("region is for passwordfrom=rds")
    if file := given.get("passwordfile", ""):
        if kind:
            raise ValueError("passwordfile and passwordfrom are both there; leave one out")
        read_password(file)  # said now, not at the first connection
        return lambda: asyncio.to_thread(read_password, file)
    if not kind:
        return None
    if kind not in CLOUDS:
        raise ValueError(f"passwordfrom={kind}: there is {' and '.join(CLOUDS)}")
    if not user or not host:
        raise ValueError(f"passwordfrom={kind} needs a user and a host before it")
    return _rds(host, port, user, given.get("region")) if kind == "rds" else _cloud_sql()


def read_password(file: str) -> str:
    """Return what a file has, without the line break at its end. Raises ValueError."""
    try:
        text = read_text(file)
    except (OSError, ValueError) as exc:
        raise ValueError(
            f"passwordfile={file}: {getattr(exc, 'strerror', None) or exc}"
        ) from None  # its own words may show a part of the secret
    if not text:
        raise ValueError(f"passwordfile={file}: nothing is in it")
    return text


def _rds(host: str, port: int, user: str, region: str | None) -> ShortPassword:
    """Return what signs tokens of RDS with the credentials that this process has by then.

    The signature is made here, and valid for 15 minutes; credentials may have to be fetched.
    """
    session = _package("botocore.session", "aws").get_session()

    def sign() -> str:
        client = session.create_client("rds", region_name=region)
        token: str = client.generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user)
        return token

    return _asked("rds", sign)


def _cloud_sql() -> ShortPassword:
    """Return what gives Google's access tokens for Cloud SQL; they live for about an hour."""
    auth = _package("google.auth", "gcp")
    request = _package("google.auth.transport.requests", "gcp")
    known = functools.cache(lambda: auth.default(scopes=[_SCOPE])[0])

    def ask() -> str:
        credentials = known()
        if not credentials.valid:  # it is renewed some minutes before its end
            credentials.refresh(request.Request())
        return str(credentials.token)

    return _asked("cloudsql", ask)


def _asked(kind: str, ask: Callable[[], str]) -> ShortPassword:
    async def password() -> str:
        try:
            return await asyncio.to_thread(ask)
        except Exception as exc:  # of somebody else's package: there is no password for now
            raise ConnectionError(f"passwordfrom={kind}: {type(exc).__name__}: {exc}") from exc

    return password


def _package(name: str, extra: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as exc:
        raise ValueError(f"passwordfrom needs `pip install holdfast[{extra}]`: {exc}") from exc
