"""Compose files: references that the schema leaves open, and what stands open to a network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.delivery.judges.objects import parsed


def compose_problems(file: Path) -> list[str]:
    """Return what is wrong with a Compose file beside its schema."""
    [document] = parsed(file.read_text())
    services = document.get("services", {})
    found = ["version: is obsolete"] if "version" in document else []
    for name, service in services.items():
        found += [f"{name}: {line}" for line in _of_service(service, document, file.parent)]
    for kind in ("volumes", "networks", "secrets", "configs"):
        used = {named for service in services.values() for named in _named(service, kind)}
        declared = {*document.get(kind, {}), *(("default",) if kind == "networks" else ())}
        found += [f"{kind}: {one} is not declared" for one in sorted(used - declared)]
        found += [f"{kind}: {one} is used nowhere" for one in sorted(declared - used - {"default"})]
    return found


def _of_service(service: dict[str, Any], document: dict[str, Any], folder: Path) -> Iterator[str]:
    services = document["services"]
    awaited = service.get("depends_on", {})
    if isinstance(awaited, list):
        yield "depends_on is a list; say what is waited for"
        awaited = {name: {} for name in awaited}
    for other, entry in awaited.items():
        condition = entry.get("condition", "service_started")
        if other not in services:
            yield f"waits for {other}, which is no service"
        elif condition == "service_healthy" and "healthcheck" not in services[other]:
            yield f"waits until {other} is healthy, which has no health check"
    for port in service.get("ports", []):
        host = port.get("host_ip", "") if isinstance(port, dict) else str(port).rpartition(":")[0]
        if not host.startswith("127.0.0.1"):
            yield f"port {port} is open to the whole network"
    if service.get("privileged") or service.get("network_mode") == "host":
        yield "has the machine's own rights or network"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "may gain privileges"
    if "ALL" not in service.get("cap_drop", []):
        yield "keeps capabilities"
    if str(service.get("image", "")).endswith(":latest"):
        yield "an image without a version"
    for mount in service.get("volumes", []):
        source = mount.get("source", "") if isinstance(mount, dict) else str(mount).split(":")[0]
        if source.startswith(".") and not (folder / source).exists():
            yield f"mounts {source}, which is not there"


def _named(service: dict[str, Any], kind: str) -> Iterator[str]:
    for entry in service.get(kind, []):
        if isinstance(entry, dict):
            if entry.get("type", "volume") == "volume" and entry.get("source"):
                yield str(entry["source"])
        elif not str(entry).startswith((".", "/", "~")):
            yield str(entry).split(":")[0]
    if kind == "networks" and "networks" not in service:
        yield "default"
