"""What is rendered from a declaration: files that would otherwise be kept by hand beside it."""

from holdfast.delivery.alerts import RUNBOOKS
from holdfast.delivery.files import Files, differences, kept, strangers, write
from holdfast.delivery.observability import observability, runbook

__all__ = [
    "RUNBOOKS",
    "Files",
    "differences",
    "kept",
    "observability",
    "runbook",
    "strangers",
    "write",
]
