"""The container image: one for every process of a system, whose arguments say which one it is.

Built in two stages: what installs packages stays in the first.
"""

from typing import Final

from holdfast.communication import PORT
from holdfast.delivery.files import Files, head
from holdfast.delivery.parts import RenderedPart, Rendering
from holdfast.delivery.plan import OPS_PORT, Plan
from holdfast.delivery.release import FOLDER

USER: Final = 10001
"""The number of the user and the group that everything runs as; no name, and no home."""


def files(rendering: Rendering) -> Files:
    """Return the Dockerfile, and what of the repository it sees."""
    plan, part = rendering.plan, RenderedPart.IMAGE
    build = plan.system.deploy.build
    values = {
        "plan": plan,
        "build": build,
        "sources": sources_of(plan),
        "base": rendering.images.server("python"),
        "user": USER,
        "http_port": PORT,
        "ops_port": OPS_PORT,
        "folder": FOLDER,
    }
    above = head(plan.system.name, part)
    names = ("Dockerfile", "Dockerfile.dockerignore")
    return {
        f"{part}/{name}": above + rendering.templates.render(f"{part}/{name}", **values)
        for name in names
    }


def sources_of(plan: Plan) -> tuple[str, ...]:
    """Return what is copied to the image as it is."""
    sources = plan.system.deploy.build.sources
    return (plan.typed.partition(":")[0].partition(".")[0],) if sources is None else tuple(sources)
