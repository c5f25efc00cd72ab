"""Where a process keeps its audit log: in its data folder, or among the lines of its log."""

import os

from holdfast.observability import Audit, Logger
from holdfast.runtime.audit_file import AuditFile
from holdfast.runtime.audit_stream import AuditStream
from holdfast.runtime.engines import Engines
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.options import Options
from holdfast.system import System


def audit_of(
    system: System, options: Options, engines: Engines, logger: Logger, folder: DataFolder | None
) -> Audit:
    """Return the audit log of a process.

    Args:
        folder: None: nothing is kept on this machine, and the log takes it.
    """
    name = f"{system.name}/{name_of(system, options)}"
    settings = options.settings
    if folder is not None and settings.audit == "folder":
        bytes_max = settings.audit_mb << 20
        file = AuditFile(folder.path, engines.clock, bytes_max, f"process {os.getpid()}", name)
        return Audit(file, engines.clock)
    who = f"process {os.getpid()}"

    def chain() -> str:
        return f"{name}/{engines.ids.token(8).hex()}"

    return Audit(AuditStream(logger, engines.clock, chain, who, name), engines.clock)


def name_of(system: System, options: Options) -> str:
    """Return what a process is called that hosts what its options say."""
    if options.services is None:
        return "all"
    return "+".join([*options.services, *(["gateway"] if options.gateway else [])])
