"""Gateway: the one entry point of a system, as it is declared."""

from dataclasses import dataclass, field

from holdfast.system.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `per_s` a second on average, at most `burst` at once."""

    per_s: float
    burst: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """The entry point: who may come in, how often, how much, and for how long.

    Attributes:
        tokens: None accepts nobody: then every route must be public.
        per_caller, per_address: rate limits; 429 over them. None switches one off.
        deadline_s: the longest that a request may take.
        body_bytes_max: 413 over it.
        requests_max: requests under way at once; 503 over it.
        trusted_proxies: addresses and networks (`10.0.0.0/8`) whose `X-Forwarded-For`, `-Proto`,
            `-Host` or `Forwarded` is believed.
    """

    tokens: Tokens | None = None
    per_caller: Rate | None = field(default_factory=lambda: Rate(per_s=50, burst=100))
    per_address: Rate | None = field(default_factory=lambda: Rate(per_s=100, burst=200))
    deadline_s: float = 10.0
    body_bytes_max: int = 1 << 20
    requests_max: int = 1_000
    trusted_proxies: tuple[str, ...] = ()
