"""Where a process keeps its audit log: in its data folder, or among the lines of its log."""

import contextlib
import os
import pwd
import sys
from collections.abc import Generator, Mapping
from pathlib import Path

from holdfast.engines.machine import MachineClock, MachineIds
from holdfast.errors import Unrecorded
from holdfast.observability import Audit, Logger
from holdfast.observability.chain import Head
from holdfast.observability.redact import describe
from holdfast.ports import Clock
from holdfast.runtime.audit_file import AuditFile
from holdfast.runtime.audit_stream import AuditStream
from holdfast.runtime.engines import Engines
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.options import Options
from holdfast.runtime.settings import process_settings
from holdfast.system import System


def audit_of(
    system: System, options: Options, engines: Engines, logger: Logger, folder: DataFolder | None
) -> Audit:
    """Return the audit log of a process.

    Args:
        folder: None: nothing is kept on this machine, and the log takes it.
    """
    name, who = f"{system.name}/{name_of(options)}", f"process {os.getpid()}"
    if folder is not None and options.settings.audit == "folder":
        bytes_max = options.settings.audit_mb << 20
        return audit_in_folder(folder.path, engines.clock, logger, bytes_max, who=who, on=name)

    def chain() -> str:
        return f"{name}/{engines.ids.token(8).hex()}"

    return Audit(AuditStream(logger, engines.clock, chain, who, name), engines.clock)


def audit_in_folder(
    folder: Path, clock: Clock, logger: Logger, bytes_max: int, *, who: str, on: str
) -> Audit:
    """Return an audit log that is kept in a folder; the log is told how it ends."""

    def tell(head: Head) -> None:
        logger.info("audit.head", chain=head.chain, seq=head.seq, hash=head.hash)

    file = AuditFile(folder, clock, bytes_max=bytes_max, who=who, on=on, on_head=tell)
    return Audit(file, clock)


@contextlib.contextmanager
def audit_of_command(system: System, environ: Mapping[str, str], folder: Path) -> Generator[Audit]:
    """Yield the audit log of a command that is no process of the system, such as `migrate`.

    It is that of the data folder, beside what serves there, or lines of stdout.
    """
    settings, clock = process_settings(environ), MachineClock()
    logger = Logger(sys.stdout.buffer, clock, system.name, "warning", form="json")
    name, who = f"{system.name}/command", f"process {os.getpid()}"
    if settings.audit == "folder":
        audit = audit_in_folder(folder, clock, logger, settings.audit_mb << 20, who=who, on=name)
    else:
        chain = f"{name}/{MachineIds().token(8).hex()}"
        audit = Audit(AuditStream(logger, clock, lambda: chain, who, name), clock)
    try:
        yield audit
    finally:
        audit.close()
        logger.close()


@contextlib.contextmanager
def commanded(audit: Audit, what: str, user: object, *, on: str) -> Generator[list[str]]:
    """Write down before and after what an operator does; yield what is to hold its problems.

    Args:
        user: see `operator`.
    Raises:
        Unrecorded: it cannot be written, and nothing was done.
    """
    who, authority = operator(user)

    def told(outcome: str) -> bool:
        return audit.require(what, who=who, authority=authority, on=on, outcome=outcome)

    if not told("begun"):
        raise Unrecorded(
            "the audit log cannot be written, so nothing was done: make room on its disk, and see "
            "that its folder and its files are this user's"
        )
    problems: list[str] = []
    try:
        yield problems
    except BaseException as exc:  # raised again: how it ended is written down
        told(f"failed: {describe(exc)}")
        raise
    told(f"failed: {problems[0]}" if problems else "done")


def started(audit: Audit, system: System, options: Options) -> None:
    """Write down that a process serves: whose, and what."""
    who, authority = operator(None)
    audit.record("process.started", who=who, authority=authority, on=name_of(options))


def operator(user: object) -> tuple[str, str]:
    """Return who commands, and by what right: a user of this machine, as the kernel says.

    Args:
        user: the number that the control socket gave; None: it is the user of this process.
    """
    by = "own process" if user is None else "control socket"
    number = user if isinstance(user, int) else os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a container's user need not have a name
        name = str(number)
    return f"unix user {name}", f"{by}, uid {number}"


def name_of(options: Options) -> str:
    """Return what a process is called that hosts what its options say."""
    if options.services is None:
        return "all"
    return "+".join([*options.services, *(["gateway"] if options.gateway else [])])
