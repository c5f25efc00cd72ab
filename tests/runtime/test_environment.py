"""`<VARIABLE>_FILE`: what the file has is the variable's value, and nothing is guessed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from holdfast import Outside, Service, Settings, System
from holdfast.engines.secret_text import FILE_BYTES_MAX
from holdfast.errors import SettingError
from holdfast.runtime.environ import Environ
from holdfast.runtime.environment import environment, from_files, variables_read
from shop.system import shop

URL = "postgresql://orders:secret@postgres/orders"
Read = Callable[[dict[str, str], str], Environ]
NAMES = ("KEY", "URL", "URL_FILE")


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return an environment whose files, called /a, all have one text."""

    def reading(environ: dict[str, str], text: str) -> Environ:
        file = tmp_path / "a"
        file.write_bytes(text.encode())
        told = {k: str(file) if v == "/a" else v for k, v in environ.items()}
        return from_files(told, NAMES)

    return reading


@pytest.mark.parametrize(
    ("text", "value"),
    [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("\na", "\na")],
)
def test_what_a_file_has_is_the_value(read: Read, text: str, value: str) -> None:
    """Editors end a file with a line break; all else was meant."""
    assert read({"KEY_FILE": "/a", "HOME": "/"}, text) == {"KEY": value, "HOME": "/"}


def test_a_file_of_another_program_is_not_read() -> None:
    """SSL_CERT_FILE is a path, and whoever reads it wants the path."""
    environ = {"SSL_CERT_FILE": "/nowhere", "KEY": "a"}

    assert from_files(environ, NAMES) == environ


def test_a_setting_that_is_called_a_file_stays_one() -> None:
    """URL_FILE is read for itself, so it says nothing of URL."""
    environ = {"URL_FILE": "/some/path"}

    assert from_files(environ, NAMES) == environ


@pytest.mark.parametrize("environ", [{"KEY_FILE": ""}, {"KEY_FILE": "", "KEY": "a"}])
def test_an_empty_variable_names_no_file(read: Read, environ: dict[str, str]) -> None:
    """As an empty variable has no value anywhere."""
    assert read(environ, "b") == environ


def test_a_value_and_its_file_are_refused(read: Read) -> None:
    """One of them is out of date, and nobody knows which."""
    with pytest.raises(SettingError, match=r"^KEY and KEY_FILE are both set; unset one of them$"):
        read({"KEY": "a", "KEY_FILE": "/a"}, "b")


def test_an_empty_value_beside_a_file_is_not_set(read: Read) -> None:
    """Compose writes variables without a value like that."""
    assert read({"KEY": "", "KEY_FILE": "/a"}, "b")["KEY"] == "b"


def test_every_file_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its variable, its path and why, and without what is in it."""
    contents = {
        "DATABASE_URL": b"\xff",
        "BROKER_URL": b"",
        "REDIS_URL": b"a\0b",
        "HOLDFAST_LOG_LEVEL": b"x" * (FILE_BYTES_MAX + 1),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    monkeypatch.setenv("GATEWAY_KEYS_URL_FILE", str(tmp_path))
    monkeypatch.setenv("BROKER_COPIES_FILE", str(tmp_path / "missing"))

    with pytest.raises(SettingError) as refused:
        environment(shop)

    said = refused.value.problems
    assert sorted(line.partition("=")[0] for line in said) == sorted(
        f"{name}_FILE" for name in [*contents, "GATEWAY_KEYS_URL", "BROKER_COPIES"]
    )
    assert all(str(tmp_path) in line and ";" in line for line in said)
    words = ("UTF-8", "nothing is in it", "NUL", "65536", "directory", "No such file")
    assert all(any(word in line for line in said) for word in words), said


def test_a_file_may_be_as_long_as_it_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit itself is allowed."""
    (tmp_path / "url").write_text("x" * FILE_BYTES_MAX)
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))

    assert len(environment(shop)["DATABASE_URL"]) == FILE_BYTES_MAX


def test_a_process_reads_the_files_of_its_own_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of others may not even be there for it."""
    (tmp_path / "url").write_text(f"{URL}\n")
    monkeypatch.setenv("ORDERS_DATABASE_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("PAYMENTS_DATABASE_URL_FILE", "/nowhere")

    environ = environment(shop, ["orders"])

    assert environ["ORDERS_DATABASE_URL"] == URL
    assert "ORDERS_DATABASE_URL_FILE" not in environ  # nor is a child told of it
    with pytest.raises(SettingError, match=r"^PAYMENTS_DATABASE_URL_FILE='/nowhere': No such file"):
        environment(shop)


def test_a_service_s_own_settings_may_be_in_files() -> None:
    """Each field of each group; those of OpenTelemetry and of third parties too."""

    class Signing(Settings):
        signing_key: SecretStr

    users = Service("users")

    @users.get("/v1/keys", public=True)
    async def keys(signing: Signing, outside: Outside) -> None: ...

    names = variables_read(System("shop", [users]))

    assert {"USERS_SIGNING_KEY", "USERS_DATABASE_URL", "OTEL_EXPORTER_OTLP_HEADERS"} <= {*names}
    assert {"PROCESSOR_URL", "ORDERS_URL"} <= {*variables_read(shop)}
    assert "USERS_SIGNING_KEY" not in variables_read(System("shop", [users]), ["gateway"])


def test_without_files_it_is_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, a copy."""
    monkeypatch.setenv("ANYTHING", "at all")

    assert environment(shop) == dict(os.environ)


def test_a_file_that_is_written_anew_is_in_use(read: Read, tmp_path: Path) -> None:
    """Without a restart: each look is at what is there now; a copy is as of its moment."""
    environ = read({"KEY_FILE": "/a", "HOME": "/"}, "first")
    copy = dict(environ)

    (tmp_path / "a").write_text("second\n")

    assert environ["KEY"] == environ.get("KEY") == dict(environ)["KEY"] == "second"
    assert copy["KEY"] == "first"
    assert (environ | {"HOME": "/root"})["KEY"] == "second"
    assert (environ | {"KEY": "mine"})["KEY"] == "mine"


def test_a_child_is_told_of_the_file(read: Read, tmp_path: Path) -> None:
    """What came as a file is in the environment of no process."""
    environ = read({"KEY_FILE": "/a", "HOME": "/"}, "secret") | {"PORT": "1"}

    told = environ.told()

    assert told == {"KEY_FILE": str(tmp_path / "a"), "HOME": "/", "PORT": "1"}
    assert "secret" not in repr(environ) + str(environ)
    assert environ.without(["KEY"]).told() == {"HOME": "/", "PORT": "1"}


def test_a_file_that_goes_leaves_its_value_and_is_told(read: Read, tmp_path: Path) -> None:
    """A secret that is being changed is away for a moment; the last one is in use."""
    environ = read({"KEY_FILE": "/a"}, "secret")

    (tmp_path / "a").unlink()
    while_away = environ["KEY"], environ.problems()
    (tmp_path / "a").write_text("")
    while_empty = environ["KEY"], environ.problems()
    (tmp_path / "a").write_text("next")

    assert while_away == ("secret", {"KEY": "No such file or directory"})
    assert while_empty == ("secret", {"KEY": "nothing is in it"})
    assert (environ["KEY"], environ.problems()) == ("next", {})
