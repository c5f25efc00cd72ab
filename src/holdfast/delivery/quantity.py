"""Quantities: what a pod requests, as Kubernetes writes it, as numbers."""

from typing import Final

_UNITS: Final = {"": 1.0, "m": 0.001, "Ki": 2.0**-20, "Mi": 2.0**-10, "Gi": 1.0, "Ti": 2.0**10}


def number_of(quantity: str) -> float:
    """Return a quantity of CPU, `250m` or `2`, in cores; of bytes, `256Mi` or `1Gi`, in GiB."""
    digits = quantity.rstrip("KMGTim")
    return float(digits) * _UNITS[quantity[len(digits) :]]
