"""Release: where what is rendered lies in a repository, and what an environment's cluster follows.

A cluster follows a branch of its own, which has one commit for each deployment: so production is
what was brought there, whatever is merged meanwhile, and to go back is to revert the last commit.
"""

from typing import Final

FOLDER: Final = "deploy"
"""Where a repository keeps what is rendered, named from its root."""
FOLLOWED: Final = ("kubernetes", "kustomize", "helm", "gitops")
"""The parts that a cluster reads: its branch has them, and `images.lock`."""


def branch_of(environment: str) -> str:
    """Return the branch that the cluster of an environment follows."""
    return f"environments/{environment}"
