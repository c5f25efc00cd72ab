"""What fills the parameters of handlers: providers and settings, made once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from holdfast import Field, Model, Service, Settings
from holdfast.dispatch.resolve import Provided, Work
from holdfast.errors import DeclarationError, SettingError
from holdfast.runtime.environment import from_files
from holdfast.system.signature import read_signature
from tests.dispatch.hosting import hosting, system


class MailSettings(Settings):
    """What the mailer needs."""

    host: str
    port: int = Field(25, gt=0)
    password: SecretStr = SecretStr("")


class Guarded(Settings):
    """A password with a rule."""

    password: SecretStr = Field(min_length=5)


@dataclass
class Line:
    """A connection."""

    host: str


@dataclass
class Mailer:
    """A client that is closed at the end."""

    line: Line
    log: list[str] = field(default_factory=list[str])


class Sent(Model):
    """An answer."""

    host: str


ENVIRON = {"POST_OFFICE_HOST": "mail.example"}


def unwelcome(event: str, **fields: object) -> None:
    """Be told nothing."""
    pytest.fail(f"{event} {fields}")


def office(log: list[str]) -> Service:
    """Return a service whose mailer is made from a line, which is made from settings."""
    service = Service("post-office")

    @service.provides
    async def mailer(line: Line) -> AsyncIterator[Mailer]:
        log.append("mailer opened")
        yield Mailer(line, log)
        log.append("mailer closed")

    @service.provides
    async def line(settings: MailSettings) -> AsyncIterator[Line]:
        log.append("line opened")
        yield Line(settings.host)
        log.append("line closed")

    @service.get("/v1/mail", public=True)
    async def mail(mailer: Mailer) -> Sent:
        mailer.log.append("mailed")
        return Sent(host=mailer.line.host)

    return service


async def test_providers_are_made_once_and_closed_newest_first(tmp_path: Path) -> None:
    """Each gets what it needs first, whatever the order in which they were declared."""
    log: list[str] = []

    async with hosting(system(office(log)), tmp_path, environ=ENVIRON) as hosted:
        first = await hosted.request("GET", "/v1/mail")
        await hosted.request("GET", "/v1/mail")

    assert first.body == b'{"host":"mail.example"}'
    assert log == [
        *("line opened", "mailer opened"),
        *("mailed", "mailed"),
        *("mailer closed", "line closed"),
    ]


async def test_what_was_opened_is_closed_when_a_later_provider_fails(tmp_path: Path) -> None:
    """A start that fails half way leaves no connection behind."""
    log: list[str] = []
    service = office(log)

    @service.provides
    async def broken(mailer: Mailer) -> Sent:
        raise RuntimeError("no route to host")

    with pytest.raises(RuntimeError, match="no route to host"):
        async with hosting(system(service), tmp_path, environ=ENVIRON):
            pass
    assert log == ["line opened", "mailer opened", "mailer closed", "line closed"]


async def test_providers_may_be_plain_functions() -> None:
    """What needs no clean-up and no waiting needs no `async`."""
    service = Service("post-office")

    @service.provides
    def line(settings: MailSettings) -> Line:
        return Line(settings.host)

    async def mail(line: Line) -> None: ...

    provided = Provided(service, ENVIRON, unwelcome)
    await provided.make()

    fill = provided.arguments(read_signature(mail, provided=[Line]))
    assert fill(Work()) == {"line": Line("mail.example")}
    assert fill(Work())["line"] is fill(Work())["line"]


async def test_providers_that_need_each_other_are_named() -> None:
    """The whole circle is in the error."""
    service = Service("post-office")

    @service.provides
    async def mailer(line: Line) -> Mailer:
        return Mailer(line)

    @service.provides
    async def line(mailer: Mailer) -> Line:
        return mailer.line

    with pytest.raises(DeclarationError, match="Mailer → Line → Mailer"):
        await Provided(service, {}, unwelcome).make()


async def test_a_provider_that_nobody_can_fill_is_refused() -> None:
    """A provider lives as long as the process: it has no request and no transaction."""
    service = Service("post-office")

    @service.provides
    async def line(host: str) -> Line:
        return Line(host)

    with pytest.raises(DeclarationError, match="parameter 'host'"):
        await Provided(service, {}, unwelcome).make()


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({}, "POST_OFFICE_HOST is not set; set it to a str"),
        ({"POST_OFFICE_HOST": ""}, "POST_OFFICE_HOST is not set; set it to a str"),
        ({**ENVIRON, "POST_OFFICE_PORT": "x"}, "POST_OFFICE_PORT='x': .*; the default is 25"),
        ({**ENVIRON, "POST_OFFICE_PORT": "0"}, "POST_OFFICE_PORT='0': .*greater than 0"),
    ],
)
def test_a_wrong_setting_names_variable_value_and_remedy(
    environ: dict[str, str], problem: str
) -> None:
    """It is found when the service starts, not when a request needs it."""
    with pytest.raises(SettingError, match=problem):
        Provided(Service("post-office"), environ, unwelcome).settings(MailSettings)


def test_settings_are_read_from_variables_of_the_service() -> None:
    """`<SERVICE>_<FIELD>`, once; the secret does not show."""
    environ = {**ENVIRON, "POST_OFFICE_PASSWORD": "hunter2"}
    provided = Provided(Service("post-office"), environ, unwelcome)

    settings = provided.settings(MailSettings)
    assert settings is provided.settings(MailSettings)
    assert isinstance(settings, MailSettings)
    assert (settings.host, settings.port) == ("mail.example", 25)
    assert "hunter2" not in repr(settings)


def test_settings_are_read_anew_when_a_file_changes(tmp_path: Path) -> None:
    """Handlers get the new secret; what does not fit leaves the last one, and is told once."""
    (tmp_path / "password").write_text("first")
    told: list[str] = []
    environ = from_files(
        {**ENVIRON, "POST_OFFICE_PASSWORD_FILE": str(tmp_path / "password")},
        ["POST_OFFICE_PASSWORD"],
    )

    async def mail(settings: Guarded) -> None: ...

    provided = Provided(Service("post-office"), environ, lambda event, **_: told.append(event))
    fill = provided.arguments(read_signature(mail, provided=[]))

    def password() -> str:
        settings: Any = fill(Work())["settings"]
        return str(settings.password.get_secret_value())

    before, same = password(), fill(Work())["settings"] is fill(Work())["settings"]
    (tmp_path / "password").write_text("second")
    after = password()
    (tmp_path / "password").write_text("bad")
    bad = [password(), password()]

    assert (before, same, after, bad) == ("first", True, "second", ["second", "second"])
    assert told == ["settings.refused"]
