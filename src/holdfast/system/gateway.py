"""Gateway: the one entry point of a system, as it is declared."""

from dataclasses import dataclass, field

from holdfast.system.deploy import INTROSPECTION, KEYS
from holdfast.system.introspection import Introspection
from holdfast.system.rate import Rate
from holdfast.system.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages of other origins may use this gateway from a browser; mounted apps too.

    A browser asks first, by a preflight, which the gateway answers without a token. Tokens in the
    `Authorization` header need no `credentials`; cookies do.

    Attributes:
        origins: as browsers write them, `https://shop.example`; `*` alone is any.
        methods, headers: what a page may send; `*` among the headers is any.
        expose: what of an answer's headers a page may read.
        credentials: whether cookies are sent along; not together with the origin `*`.
        max_age_s: how long a browser may remember the answer to a preflight, 0..86400.
    """

    origins: tuple[str, ...]
    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    headers: tuple[str, ...] = (
        "authorization",
        "content-type",
        "dpop",
        "holdfast-deadline-ms",
        "idempotency-key",
        "x-correlation-id",
    )
    expose: tuple[str, ...] = (
        "etag",
        "idempotency-replayed",
        "location",
        "ratelimit",
        "ratelimit-policy",
        "retry-after",
        "www-authenticate",
        "x-correlation-id",
    )
    credentials: bool = False
    max_age_s: int = 600


@dataclass(frozen=True, slots=True)
class Gateway:
    """The entry point: who may come in, how often, how much, and for how long.

    Attributes:
        tokens: which tokens are accepted; several, if there are several issuers: what a token says
            of its issuer chooses. An `Introspection` among them is for tokens that say nothing.
            None accepts nobody: then every route must be public.
        origins: where clients reach the gateway, `https://api.example`; `GATEWAY_ORIGINS` replaces
            them. Tokens that are bound to a key (`dpop`) need them: a proof names the place that
            it is for.
        per_caller, per_address: rate limits; 429 over them. None switches one off. An IPv6 network
            (/64) is one address.
        connections_per_address: open connections of one address; 429 over them, and closed. Those
            of trusted proxies, and of a Unix socket, are not counted. None switches it off.
        deadline_s: the longest that a request may take.
        wait_s: how long a request should wait for its turns in a process, and may have waited
            before it is let in; while they wait longer, fewer are let in, and 503.
        body_bytes_max: 413 over it.
        requests_max: requests of a tier that are inside a process at once, and of all but critical
            ones together; 503 over it.
        trusted_proxies: addresses and networks (`10.0.0.0/8`) whose `X-Forwarded-For`, `-Proto`,
            `-Host` or `Forwarded` is believed.
        cors: None lets no page of another origin read an answer, except of mounted apps that
            answer for themselves.
    """

    tokens: Tokens | Introspection | tuple[Tokens | Introspection, ...] | None = None
    per_caller: Rate | None = field(default_factory=lambda: Rate(per_s=50, burst=100))
    per_address: Rate | None = field(default_factory=lambda: Rate(per_s=100, burst=200))
    connections_per_address: int | None = 1_000
    deadline_s: float = 10.0
    wait_s: float = 1.0
    body_bytes_max: int = 1 << 20
    requests_max: int = 1_000
    trusted_proxies: tuple[str, ...] = ()
    cors: Cors | None = None
    origins: tuple[str, ...] = ()

    @property
    def issuers(self) -> tuple[Tokens, ...]:
        """Return whose signed tokens are accepted, in the order declared."""
        return tuple(one for one in self.accepted if isinstance(one, Tokens))

    @property
    def introspection(self) -> Introspection | None:
        """Return how opaque tokens are judged; None: there are none."""
        asked = [one for one in self.accepted if isinstance(one, Introspection)]
        return asked[0] if asked else None

    @property
    def proves(self) -> bool:
        """Say whether tokens that are bound to a key are accepted."""
        return any(one.dpop is not None for one in self.accepted)

    @property
    def accepted(self) -> tuple[Tokens | Introspection, ...]:
        """Return all tokens that are accepted, in the order declared."""
        if self.tokens is None:
            return ()
        if isinstance(self.tokens, Tokens | Introspection):
            return (self.tokens,)
        return tuple(self.tokens)


def reached_by(gateway: Gateway) -> dict[str, str]:
    """Return {name: URL} of the third parties that a gateway reaches for its tokens."""
    asked = gateway.introspection
    found = {} if asked is None else {INTROSPECTION: asked.url}
    return found | {
        KEYS if number == 1 else f"{KEYS}-{number}": tokens.keys
        for number, tokens in enumerate(gateway.issuers, 1)
        if isinstance(tokens.keys, str)
    }
