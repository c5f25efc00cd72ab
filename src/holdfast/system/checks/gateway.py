"""Checks of the gateway: who may come in, and how much."""

import re
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_network
from urllib.parse import urlsplit

from holdfast.system.checks.reading import Reading
from holdfast.system.gateway import Cors, Gateway
from holdfast.system.introspection import Introspection
from holdfast.system.tokens import Tokens

_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[a-z0-9](?:[a-z0-9._-]*)|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)
_USUAL_PORT = re.compile(r"http://.*:80|https://.*:443")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def gateway_problems(gateway: Gateway, reading: Reading) -> Iterator[str]:
    """Yield what is wrong with the gateway."""
    if not gateway.accepted:
        yield from _closed_doors(reading)
    yield from _introspection(gateway)
    yield from _origins(gateway)
    for tokens in gateway.issuers:
        yield from _tokens(tokens, reading)
    yield from _same_issuer(gateway)
    yield from _prefixes(gateway)
    for name in ("deadline_s", "wait_s", "body_bytes_max", "requests_max"):
        if getattr(gateway, name) <= 0:
            yield f"Gateway({name}={getattr(gateway, name):g}): nothing could pass; raise it over 0"
    most = gateway.connections_per_address
    if most is not None and most < 1:
        yield (
            f"Gateway(connections_per_address={most}): nobody could connect; raise it over 0, or "
            "write None for no limit"
        )
    for name in ("per_caller", "per_address"):
        rate = getattr(gateway, name)
        if rate is not None and (rate.per_s <= 0 or rate.burst < 1):
            yield (
                f"Gateway({name}={rate!r}): nothing could pass; write `Rate(per_s=…, burst=…)` "
                "with more than 0, or None for no limit"
            )
    for address in gateway.trusted_proxies:
        try:
            ip_network(address)
        except ValueError as exc:
            yield f"Gateway(trusted_proxies=…): {exc}; write an address or a network, 10.0.0.0/8"
    if gateway.cors is not None:
        yield from _cors(gateway.cors)


def _cors(cors: Cors) -> Iterator[str]:
    place = "Gateway(cors=Cors(…))"
    if not cors.origins:
        yield f"{place}: origins is empty, so no page may read an answer; name one"
    for origin in cors.origins:
        if origin == "*":
            if len(cors.origins) > 1:
                yield f"{place}: origins has '*' beside others; write it alone, or leave it out"
            if cors.credentials:
                yield (
                    f"{place}: every page could act with its visitor's cookies; name the origins "
                    "instead of '*', or leave credentials out"
                )
        elif _ORIGIN.fullmatch(origin) is None or _USUAL_PORT.fullmatch(origin):
            yield (
                f"{place}: origin {origin!r} is not as browsers write it; write scheme and host in "
                "lower case, and the port if it is not the usual one: https://shop.example"
            )
    for kind in ("methods", "headers", "expose"):
        for name in getattr(cors, kind):
            if _TOKEN.fullmatch(name) is None or (name == "*" and kind != "headers"):
                yield f"{place}: {kind} has {name!r}; write each name by itself"
    if not 0 <= cors.max_age_s <= 86_400:
        yield f"{place}: max_age_s={cors.max_age_s}; write 0..86400 seconds"


def _closed_doors(reading: Reading) -> Iterator[str]:
    remedy = (
        "needs a token and the Gateway accepts none; add `Gateway(tokens=Tokens(…))` or "
        "`public=True`"
    )
    for declared in reading.functions:
        if declared.route is not None and not declared.route.public:
            yield f"{declared.place}: it {remedy}"
    for service in reading.services:
        for mount in service.mounts:
            if not mount.public:
                yield f"{service.name}: mount {mount.path or '/'} {remedy}"


def _tokens(tokens: Tokens, reading: Reading) -> Iterator[str]:
    place = "Gateway(tokens=…)"
    keys = tokens.keys
    if isinstance(keys, str):
        parts = urlsplit(keys)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            yield f"{place}: keys={keys!r}; write the URL of a JWKS, `https://…`, or a query"
    else:
        if keys not in reading.owners and reading.complete:
            yield (
                f"{place}: nobody handles {keys.__name__}, which brings the keys; "
                "handle it in the service that signs the tokens"
            )
        if keys.reply_type is not str:
            yield f"{place}: {keys.__name__} brings the keys as text; write `Query[str]`"
        if any(field.is_required() for field in keys.model_fields.values()):
            yield f"{place}: {keys.__name__} is asked as it is; give its fields defaults"
    yield from (f"{place}: {problem}" for problem in _pinned(tokens))


def _introspection(gateway: Gateway) -> Iterator[str]:
    """Yield what is wrong with how opaque tokens are judged."""
    asked = [one for one in gateway.accepted if isinstance(one, Introspection)]
    if len(asked) > 1:
        yield (
            f"Gateway(tokens=…): {len(asked)} Introspections, and an opaque token does not say "
            "whose it is; keep one"
        )
    for one in asked:
        place = "Gateway(tokens=Introspection(…))"
        parts = urlsplit(one.url)
        if parts.scheme != "https" or not parts.hostname:
            yield (
                f"{place}: url={one.url!r}; write `https://…`: the client's secret and tokens of "
                "callers go there"
            )
        if parts.username is not None:
            yield f"{place}: url has a user in it; write `client_id=…`, and set the secret"
        if not one.client_id:
            yield f"{place}: client_id is empty; name the client as which the gateway asks"
        if one.audience is not None and not _named(one.audience):
            yield f"{place}: audience is empty; name it, or write None to leave it to the issuer"
        for name, most in (("cache_s", 3_600), ("refused_cache_s", 60), ("leeway_s", 60)):
            if not 0 <= getattr(one, name) <= most:
                yield f"{place}: {name}={getattr(one, name):g}; write 0..{most} seconds"
        yield from (f"{place}: {problem}" for problem in _read_from(one))


def _origins(gateway: Gateway) -> Iterator[str]:
    """Yield what is wrong with where clients reach the gateway."""
    for one in gateway.accepted:
        if one.dpop not in (None, "accepted", "required"):
            yield f'Gateway(tokens=…): dpop={one.dpop!r}; write "accepted", "required" or None'
    if gateway.proves and not gateway.origins:
        yield (
            "Gateway(tokens=…): dpop needs the place that a proof is for; add "
            "`Gateway(origins=('https://api.example',))`"
        )
    for origin in gateway.origins:
        if _ORIGIN.fullmatch(origin) is None or not origin.startswith(("http://", "https://")):
            yield (
                f"Gateway(origins=…): {origin!r} is no origin; write scheme and host in lower "
                "case, and the port if it is not the usual one: https://api.example"
            )


def _same_issuer(gateway: Gateway) -> Iterator[str]:
    """Yield the issuers that two of the gateway's tokens are for: `iss` could not choose."""
    counted = Counter(
        issuer
        for tokens in gateway.accepted
        if isinstance(tokens, Tokens) or tokens.jwts
        for issuer in set(tokens.issuer if isinstance(tokens.issuer, tuple) else (tokens.issuer,))
    )
    for issuer, count in counted.items():
        if count > 1:
            yield (
                f"Gateway(tokens=…): {count} of them are for the issuer {issuer!r}, and `iss` "
                "chooses one; merge them, `audience=(…, …)`, or remove one"
            )


def _prefixes(gateway: Gateway) -> Iterator[str]:
    """Yield the prefixes that keep no subjects apart."""
    prefixes = [tokens.subject_prefix for tokens in gateway.accepted]
    for prefix in prefixes:
        if not prefix.isprintable():
            yield f"Gateway(tokens=…): subject_prefix={prefix!r}; write printable characters"
    if not any(prefixes):
        return
    for n, prefix in enumerate(prefixes):
        for other in prefixes[:n] + prefixes[n + 1 :]:
            if other.startswith(prefix):
                yield (
                    f"Gateway(tokens=…): subject_prefix={prefix!r} is how {other!r} begins, so "
                    "that one issuer can name a subject of the other; give each its own, such as "
                    '"staff:" and "readers:"'
                )
                return


def _pinned(tokens: Tokens) -> Iterator[str]:
    """Yield the values that would let every token in, or none."""
    if not _named(tokens.audience):
        yield "audience is pinned and cannot be empty; name it"
    if not tokens.algorithms:
        yield "algorithms is empty, so no token is valid; name one"
    types = tokens.typ if isinstance(tokens.typ, tuple) else (tokens.typ,)
    if not types or not set(types) <= {"at+jwt", "JWT", ""}:
        yield f'typ={tokens.typ!r}; write "at+jwt", "JWT", "" (none), or a tuple of them'
    if not 0 <= tokens.leeway_s <= 60:
        yield f"leeway_s={tokens.leeway_s:g}; write 0..60 seconds"
    if not tokens.max_lifetime_s >= 1:
        yield f"max_lifetime_s={tokens.max_lifetime_s:g}, so no token is valid; raise it over 0"
    if not tokens.audience_claim:
        yield "audience_claim names a claim; it cannot be empty"
    yield from _read_from(tokens)


def _read_from(tokens: Tokens | Introspection) -> Iterator[str]:
    """Yield what is wrong with how claims are read, of tokens and of answers about them."""
    if not _named(tokens.issuer):
        yield "issuer is pinned and cannot be empty; name it"
    if not tokens.token_bytes_max >= 1:
        yield f"token_bytes_max={tokens.token_bytes_max:g}, so no token is valid; raise it over 0"
    if tokens.scope_form not in ("text", "list", "either"):
        yield f'scope_form={tokens.scope_form!r}; write "text", "list" or "either"'
    if not tokens.subject_claim:
        yield "subject_claim names a claim; it cannot be empty"
    for name, value in tokens.claims.items():
        if not _named(value):
            yield f"claims={{{name!r}: …}} is empty, so no token is valid; name a value"
    for name in ("required", "client_claims", "scope_claims"):
        if isinstance(getattr(tokens, name), str):
            yield f"{name}={getattr(tokens, name)!r}; write a tuple, ({getattr(tokens, name)!r},)"


def _named(value: str | tuple[str, ...]) -> bool:
    """Say whether there is a text, and no empty one."""
    values = value if isinstance(value, tuple) else (value,)
    return bool(values) and all(values)
