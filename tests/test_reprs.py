"""What `repr` shows of objects that hold secrets: a log, a crash or an assertion may print it."""

import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr

from holdfast import Settings
from holdfast.contract.http import Request, Response
from holdfast.dispatch.resolve import Work
from holdfast.engines.postgres_url import read_postgres_url
from holdfast.observability.exporter import ExportPolicy
from holdfast.runtime.environ import Environ
from holdfast.runtime.options import Options
from holdfast.runtime.secret_file import SecretFile
from holdfast.runtime.trace_settings import trace_settings
from holdfast.security import SigningKey
from holdfast.system.external import ExternalAnswer
from tests.test_layers import MODULES

SECRET = "kq7Zx2Vw9Lm3Rt5Ny8Hb4Pc6"
NAMES = ("environ", "headers", "password", "secret")
HARMLESS = {
    "Cors.headers": "names alone",
    "PostgresRoles.password": "a function",
    "StoredResponse.headers": "of an answer that is kept, whose repr nobody asks for",
    "Stored.secret": "a name in a store",
    "Stored.password": "the same",
    "Answer.headers": "of a test's own client",
}
"""{class and field: why its `repr` may show it}."""


class Mail(Settings):
    """A user's settings: one field is secret by its type, two by their names."""

    host: str
    password: SecretStr
    api_key: str
    token: bytes


def holders(folder: Path) -> Iterator[object]:
    """Yield an object of each public class that holds a secret."""
    file = folder / "key"
    file.write_text(SECRET)
    environ = {"KEY": SECRET, "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRET}"}
    environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    yield Environ(environ, {"OTHER": SecretFile(str(file))})
    yield SecretFile(str(file))
    yield Options(data=None, environ=environ)
    yield Mail(host="h", password=SecretStr(SECRET), api_key=SECRET, token=SECRET.encode())
    yield Request("GET", "/", f"token={SECRET}", [(b"authorization", SECRET.encode())], b"x")
    yield Request("POST", "/", body=SECRET.encode())
    yield Response(200, [(b"set-cookie", SECRET.encode())], SECRET.encode())
    yield ExternalAnswer(200, {"set-cookie": SECRET}, SECRET.encode())
    yield read_postgres_url(f"postgresql://u:{SECRET}@h/d?sslmode=require")
    yield ExportPolicy(headers=(("authorization", SECRET),))
    yield trace_settings(environ)
    yield SigningKey(SECRET.encode()[:24] + bytes(8))
    yield Work(values={"body": SECRET})


def test_repr_shows_no_secret(tmp_path: Path) -> None:
    """Nor does str, nor a container of it."""
    shown = {type(one).__name__: f"{one!r} {one!s} {[one]!r}" for one in holders(tmp_path)}

    assert [name for name, text in shown.items() if SECRET in text or "kq7Z" in text] == []
    assert "host='h'" in shown["Mail"]


def shown_fields(module: str) -> Iterator[str]:
    """Yield `Class.field` of each field that a module's classes show."""
    for name, cls in vars(importlib.import_module(module)).items():
        if not inspect.isclass(cls) or cls.__module__ != module:
            continue
        if dataclasses.is_dataclass(cls) and hasattr(cls.__repr__, "__wrapped__"):
            yield from (f"{name}.{field.name}" for field in dataclasses.fields(cls) if field.repr)
        elif issubclass(cls, msgspec.Struct) and cls.__repr__ is msgspec.Struct.__repr__:
            yield from (f"{name}.{field}" for field in cls.__struct_fields__)
        elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
            yield from (f"{name}.{field}" for field in cls._fields)


@pytest.mark.parametrize(
    "module", [name for name in MODULES if not name.endswith(("__main__", "migrations.env"))]
)
def test_a_field_that_is_called_so_is_not_shown(module: str) -> None:
    """Whoever adds one decides: `repr=False`, or a line in HARMLESS with why not."""
    found = {one for one in shown_fields(module) if one.partition(".")[2] in NAMES}

    assert found <= set(HARMLESS)
