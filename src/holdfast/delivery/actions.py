"""Actions: what the workflow uses of others, each by the commit that its release was."""

from dataclasses import dataclass
from typing import Final

from holdfast.delivery.templates import Written


@dataclass(frozen=True, slots=True)
class Pin:
    """A release of an action.

    Attributes:
        commit: 40 hex digits; a tag may be moved to other code, as happened to several actions.
        version: the release, for whoever reads and for what proposes newer ones.
    """

    commit: str
    version: str


ACTIONS: Final = {
    "actions/attest": Pin("1e69f48acb82d1966a394da916b4c1698aa569d6", "v4.2.2"),
    "actions/checkout": Pin("3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "actions/setup-python": Pin("5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0"),
    "actions/upload-artifact": Pin("bbbca2ddaa5d8feaa63e36b76fdaad77386f024f", "v7.0.0"),
    "anchore/sbom-action": Pin("e22c389904149dbc22b58101806040fa8d37a610", "v0.24.0"),
    "anchore/scan-action": Pin("e1165082ffb1fe366ebaf02d8526e7c4989ea9d2", "v7.4.0"),
    "aws-actions/configure-aws-credentials": Pin(
        "e6de054238d6b7531b4efff3b6587d9aade6a06c", "v6.2.3"
    ),
    "docker/build-push-action": Pin("53b7df96c91f9c12dcc8a07bcb9ccacbed38856a", "v7.3.0"),
    "docker/login-action": Pin("4907a6ddec9925e35a0a9e82d7399ccc52663121", "v4.1.0"),
    "docker/setup-buildx-action": Pin("37fe631027851001ddb9b187196cc803df7f5f0e", "v4.3.0"),
    "google-github-actions/auth": Pin("7c6bc770dae815cd3e89ee6cdf493a5fab2cc093", "v3.0.0"),
    "sigstore/cosign-installer": Pin("6f9f17788090df1f26f669e9d70d6ae9567deba6", "v4.1.2"),
}
"""{action: its release}; as of 2026-08, all for Node 24."""


def uses(action: str) -> Written:
    """Return what stands behind `uses:`.

    Raises:
        KeyError: no release of the action is known.
    """
    pin = ACTIONS[action]
    return Written(f"{action}@{pin.commit} # {pin.version}")
