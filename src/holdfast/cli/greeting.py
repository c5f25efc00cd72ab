"""What a serving command says when it is ready."""

import sys
from collections.abc import Mapping

from holdfast.cli.named import Loaded


def greet(loaded: Loaded, facts: Mapping[str, str], url: str) -> None:
    """Print addresses and other facts on stderr, and the lines to try that the module offers.

    A module offers them as `TRY`, a list of shell lines in which `{url}` is the gateway's.
    """
    width = max(map(len, facts))
    lines = [f"{loaded.system.name} is ready", ""]
    lines += [f"  {name:<{width}}  {value}" for name, value in facts.items()]
    tries: list[str] = getattr(loaded.module, "TRY", [])
    if tries:
        lines += ["", "Try:", "", *(f"  {line.replace('{url}', url)}" for line in tries)]
    print("\n".join([*lines, ""]), file=sys.stderr, flush=True)
