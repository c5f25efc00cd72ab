"""The parts of what is rendered: each is a folder, and a module of its name."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Final

from holdfast.delivery.files import Files, head
from holdfast.delivery.images import LOCK, Images, read_images
from holdfast.delivery.observability import RUNBOOKS, observability
from holdfast.delivery.plan import Plan, plan_of
from holdfast.delivery.templates import Templates
from holdfast.system import System


class RenderedPart(StrEnum):
    """The folders that are rendered."""

    IMAGE = "image"
    OBSERVABILITY = "observability"
    CI = "ci"
