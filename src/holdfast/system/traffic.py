"""What a system declares for its load: what is asked of it, and with which settings it is run."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Traffic:
    """What `holdfast load` needs to know of a system; see `docs/load.md`.

    Attributes:
        offers: prepares what is asked, before the clock starts; gets a client.
        environ: settings of the system that is started for the load.
    """

    offers: Callable[..., Awaitable[object]] | None = None
    environ: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
