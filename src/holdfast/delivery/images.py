"""Images: which ones run, and under which digest.

A tag may be moved to another image, a digest not. No digest can be known before a registry was
asked, so they are kept in a file of their own beside what is rendered, `images.lock`: rendering
begins it, whoever builds or looks up an image writes into it (`ci/lock-image.sh`), and rendering
again brings the digest into everything else. What is not resolved is rendered with its tag alone,
which the cluster's policy refuses.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from holdfast.errors import DeclarationError

LOCK: Final = "images.lock"
UNRESOLVED: Final = "unresolved"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")

PYTHON: Final = "3.11"
"""The version that a system runs on, and that CI tests it with."""
SERVERS: Final = {
    "python": f"docker.io/library/python:{PYTHON}-slim-bookworm",
    "postgres": "docker.io/library/postgres:18.6-bookworm",
    "cnpg": "ghcr.io/cloudnative-pg/postgresql:18.6-standard-bookworm",
    "nats": "docker.io/library/nats:2.15.1-alpine",
    "redis": "docker.io/valkey/valkey:9.1-trixie",
    "prometheus": "quay.io/prometheus/prometheus:v3.14.0",
    "alertmanager": "quay.io/prometheus/alertmanager:v0.33.0",
    "grafana": "docker.io/grafana/grafana:13.2.0",
    "jaeger": "cr.jaegertracing.io/jaegertracing/jaeger:2.20.0",
    "collector": "docker.io/otel/opentelemetry-collector-contrib:0.165.0",
}
"""{what stands beside the system: its image}; tags as of 2026-08."""


class Images:
    """The images of a system.

    Args:
        name: of the system's own image, `<registry>/<system>`.
        digests: {name in `SERVERS`, or of an environment: digest or `unresolved`}.
    """

    def __init__(self, name: str, digests: Mapping[str, str]) -> None:
        self.name = name
        self._digests = digests

    def server(self, name: str) -> str:
        """Return the reference of what stands beside the system."""
        return _reference(SERVERS[name], self._digests.get(name, UNRESOLVED))

    def of(self, environment: str) -> str:
        """Return the reference of the system's image in an environment."""
        digest = self._digests.get(environment, UNRESOLVED)
        return f"{self.name}:{UNRESOLVED}" if digest == UNRESOLVED else f"{self.name}@{digest}"

    def lock(self, environments: tuple[str, ...]) -> str:
        """Return the file: what runs, with the digests that are known."""
        lines = [
            "# The digests of the images that run; `unresolved` until a registry was asked.",
            "# Rendering keeps what is here. Whoever builds or looks up an image writes it.",
            "",
            f"[system]  # {self.name}",
        ]
        lines += [f'{name} = "{self._digests.get(name, UNRESOLVED)}"' for name in environments]
        lines += ["", "[servers]"]
        for name, reference in SERVERS.items():
            lines.append(f'{name} = "{self._digests.get(name, UNRESOLVED)}"  # {reference}')
        return "\n".join(lines) + "\n"


def read_images(name: str, folder: Path, environments: tuple[str, ...]) -> Images:
    """Read `images.lock` of a folder, if it is there.

    Raises:
        DeclarationError: it cannot be read, or names what is not there.
    """
    path = folder / LOCK
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Images(name, {})
    except (OSError, ValueError) as exc:
        raise DeclarationError([f"{path}: {exc}; mend it, or move it away"]) from exc
    problems: list[str] = []
    digests: dict[str, str] = {}
    for table, known in (("system", environments), ("servers", tuple(SERVERS))):
        for key, digest in tables.get(table, {}).items():
            if key not in known:
                problems.append(f"{path}: [{table}] has no {key!r}; it has {', '.join(known)}")
            elif digest != UNRESOLVED and not (
                isinstance(digest, str) and _DIGEST.fullmatch(digest)
            ):
                problems.append(f"{path}: {key} = {digest!r}: write sha256:<64 hex digits>")
            else:
                digests[key] = digest
    if problems:
        raise DeclarationError(problems)
    return Images(name, digests)


def _reference(tagged: str, digest: str) -> str:
    return tagged if digest == UNRESOLVED else f"{tagged}@{digest}"
