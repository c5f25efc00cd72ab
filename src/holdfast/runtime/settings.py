"""The settings of a process, from the environment."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from holdfast.communication.origin import origin_and_path
from holdfast.contract.model import Model
from holdfast.contract.secret_names import plain_url
from holdfast.errors import SettingError
from holdfast.runtime.variables import OURS, url_variable
from holdfast.system import System
from holdfast.system.settings import read_settings


class ProcessSettings(Model):
    """Each field is a variable `HOLDFAST_<FIELD>`.

    Attributes:
        log_level: lines below it are not written.
        log_form: `auto` is `console` on a terminal and `json` elsewhere.
        log_kept_mb: so many MiB of the newest lines are kept in the data folder; 0: none.
        audit: where the audit log is kept: in the data `folder`, or among the lines of the `log`.
        audit_mb: so many MiB of it in the data folder; the oldest quarter makes room.
        drain_s: how long SIGTERM lets running work go on.
        threads: for the blocking functions that the handlers of each service run.
        compute_threads: for those of a pool that computes; 0: all cores but one.
        share_port: several processes listen on one port; the kernel spreads connections over them.
    """

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_form: Literal["auto", "json", "console"] = "auto"
    log_kept_mb: int = Field(default=32, ge=0, le=100_000)
    audit: Literal["folder", "log"] = "folder"
    audit_mb: int = Field(default=256, ge=1, le=1_000_000)
    drain_s: float = Field(default=20.0, gt=0, le=3600)
    threads: int = Field(default=8, ge=1, le=256)
    compute_threads: int = Field(default=0, ge=0, le=256)
    share_port: bool = False


def process_settings(environ: Mapping[str, str]) -> ProcessSettings:
    """Read them. Raises SettingError with every bad value."""
    return read_settings(ProcessSettings, OURS, environ)


def external_urls(system: System, environ: Mapping[str, str]) -> dict[str, str]:
    """Return {External's name: url}; `<NAME>_URL` replaces what is declared.

    Raises:
        SettingError: a value is not an http(s) URL.
    """
    urls: dict[str, str] = {}
    problems: list[str] = []
    for service in system.services:
        for external in service.reaches:
            name = url_variable(external.name)
            url = environ.get(name) or external.url
            try:
                origin_and_path(url)
            except ValueError:
                problems.append(f"{name}={plain_url(url)!r}: write it as https://host[:port]")
            urls[external.name] = url
    if problems:
        raise SettingError(problems)
    return urls
