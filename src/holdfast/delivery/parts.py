"""The parts of what is rendered: each is a folder, and a module of its name."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Final

from holdfast.delivery.alerts import RUNBOOKS
from holdfast.delivery.files import Files, head
from holdfast.delivery.images import LOCK, Images, read_images
from holdfast.delivery.plan import Plan, plan_of
from holdfast.delivery.templates import Templates
from holdfast.system import System


class RenderedPart(StrEnum):
    """The folders that are rendered."""

    IMAGE = "image"
    COMPOSE = "compose"
    OBSERVABILITY = "observability"
    KUBERNETES = "kubernetes"
    KUSTOMIZE = "kustomize"
    HELM = "helm"
    CI = "ci"
    GITOPS = "gitops"
    TERRAFORM = "terraform"


PARTS: Final = tuple(RenderedPart)


@dataclass(frozen=True, slots=True)
class Rendering:
    """What every part is rendered from.

    Attributes:
        runbooks: where the pages of the alerts are served.
    """

    plan: Plan
    images: Images
    templates: Templates
    runbooks: str = RUNBOOKS

    @property
    def system(self) -> System:
        """The system that is rendered."""
        return self.plan.system


def rendering_of(
    system: System,
    folder: Path,
    *,
    typed: str,
    runbooks: str = RUNBOOKS,
    templates: Path | None = None,
) -> Rendering:
    """Return what a system's parts are rendered from.

    Args:
        folder: where they come to, with `images.lock` if it is there already.
        typed: what commands call the system.
        templates: a user's own, which replace those of the same name.
    Raises:
        DeclarationError: what is declared fits no cluster, or the lock is damaged.
    """
    system.check_deploy()
    deploy = system.deploy
    images = read_images(
        f"{deploy.registry}/{system.name}", folder, tuple(e.name for e in deploy.environments)
    )
    return Rendering(plan_of(system, typed=typed), images, Templates(templates), runbooks)


def render(rendering: Rendering, parts: tuple[RenderedPart, ...] = PARTS) -> Files:
    """Return {path: text} of some parts, and of the lock of images if any part names one.

    Raises:
        DeclarationError: a user's template is wrong.
    """
    files: Files = {}
    for part in parts:
        files |= _renderer(part)(rendering)
    if parts == (RenderedPart.OBSERVABILITY,):
        return files
    environments = tuple(e.name for e in rendering.system.deploy.environments)
    above = head(rendering.system.name)
    return files | {LOCK: above + rendering.images.lock(environments)}


def _renderer(part: RenderedPart) -> Callable[[Rendering], Files]:
    """Return the function `files` of a part's module; only what is wanted is imported."""
    renderer: Callable[[Rendering], Files] = import_module(f"holdfast.delivery.{part}").files
    return renderer
