"""How one process runs a system."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.communication import LOOPBACK, PORT
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.schedule import Schedule
from holdfast.runtime.settings import ProcessSettings
from holdfast.system import System


@dataclass(frozen=True, slots=True)
class Options:
    """How one process runs a system.

    Attributes:
        data: the data folder; None when the engines keep nothing on this machine.
        services: those that it hosts; None: all.
        host: what it listens on: a name, an IPv4 or IPv6 address, or `unix:/run/a.sock`; health
            and metrics are on the loopback address then.
        gateway: it is the gateway, for its own services and for those of other processes.
        port, ops_port: 0: any free one. ops_port None: the port after `port`.
        locals: whether stand-ins of Externals are started beside.
        typed: what `holdfast migrate` is given for this system: its name, and its data folder
            unless that is the usual one.
        alone: there is nothing in the process but this, so that it may fork.
        schedule, safe: changed by tests alone.
    """

    data: Path | None
    host: str = LOOPBACK
    port: int = PORT
    ops_port: int | None = None
    services: tuple[str, ...] | None = None
    gateway: bool = True
    locals: bool = True
    typed: str = ""
    alone: bool = False
    environ: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    settings: ProcessSettings = field(default_factory=ProcessSettings)
    schedule: Schedule = field(default_factory=Schedule)
    safe: Safeguards = ALL_ON

    def hosted(self, system: System) -> tuple[str, ...]:
        """Return the names of the services that the process hosts."""
        if self.services is not None:
            return self.services
        return tuple(service.name for service in system.services)
