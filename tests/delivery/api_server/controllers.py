"""What controllers would write into the status of workloads, at once."""

from collections.abc import Collection
from typing import Any


def status_of(item: dict[str, Any], never_ready: Collection[str]) -> dict[str, Any] | None:
    """Return the status of a workload, or None for what has none.

    Args:
        never_ready: parts of the names of images whose pods do not get ready.
    """
    spec, generation = item.get("spec") or {}, item["metadata"].get("generation", 1)
    if item["kind"] not in ("Deployment", "StatefulSet", "Job"):
        return {"phase": "Active"} if item["kind"] == "Namespace" else None
    containers = spec["template"]["spec"]["containers"]
    well = not any(part in box.get("image", "") for box in containers for part in never_ready)
    if item["kind"] == "Job":
        return _ended(well)
    count = spec.get("replicas", 1)
    ready = count if well else 0
    found = {
        "observedGeneration": generation,
        "replicas": count,
        "updatedReplicas": count,
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
    if item["kind"] == "StatefulSet":
        revision = f"{item['metadata']['name']}-{generation}"
        return {
            **found,
            "currentReplicas": count,
            "currentRevision": revision,
            "updateRevision": revision,
        }
    why = "NewReplicaSetAvailable" if well else "ProgressDeadlineExceeded"
    conditions = [
        {"type": "Available", "status": str(well), "reason": "MinimumReplicas"},
        {"type": "Progressing", "status": str(well), "reason": why, "message": why},
    ]
    return {**found, "unavailableReplicas": count - ready, "conditions": conditions}


def _ended(well: bool) -> dict[str, Any]:
    if well:
        return {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
    why = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    return {"failed": 1, "conditions": [why]}
