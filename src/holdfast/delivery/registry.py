"""The registry that images are pushed to: who keeps it, and so how a workflow enters it."""

import re
from dataclasses import dataclass
from typing import Final, Literal

_AWS: Final = re.compile(r"[0-9]{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com")
_GOOGLE: Final = re.compile(r"[a-z0-9-]+-docker\.pkg\.dev")


@dataclass(frozen=True, slots=True)
class Registry:
    """Where a registry is.

    Attributes:
        kind: AWS, Google and GitHub take the identity of a job; another one wants a password.
        region: of AWS's, else "".
    """

    host: str
    kind: Literal["aws", "google", "github", "other"]
    region: str = ""


def registry_of(name: str) -> Registry:
    """Return the registry of `Deploy.registry`, such as `ghcr.io/team`."""
    host = name.partition("/")[0]
    if found := _AWS.fullmatch(host):
        return Registry(host, "aws", found[1])
    if _GOOGLE.fullmatch(host):
        return Registry(host, "google")
    return Registry(host, "github" if host == "ghcr.io" else "other")
