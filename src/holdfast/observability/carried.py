"""Trace state and baggage: what callers hand on with a trace, within the limits of its format.

Neither is changed on its way. What breaks the format is left out, as the specifications want it.
"""

import re

TRACESTATE_BYTES_MAX = 512
TRACESTATE_MEMBERS_MAX = 32
BAGGAGE_BYTES_MAX = 8_192
BAGGAGE_MEMBERS_MAX = 64

_KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_STATE = re.compile(rf"{_KEY}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
# Possessive (`*+`): what was matched is not given back, so that every text takes linear time.
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_VALUE = r"[ \t]*+=[ \t]*+[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*+"
_BAGGAGE = re.compile(rf"{_NAME}{_VALUE}(?:[ \t]*+;[ \t]*+{_NAME}(?:{_VALUE})?+)*+")


def tracestate_of(values: list[bytes]) -> str | None:
    """Return a trace's state as one header; "" for none, None for one that is broken.

    Source: W3C Trace Context, section 3.3.
    """
    members = _members(values, TRACESTATE_BYTES_MAX)
    if members is None or len(members) > TRACESTATE_MEMBERS_MAX:
        return None
    keys = {member.partition("=")[0] for member in members}
    if len(keys) < len(members) or not all(map(_STATE.fullmatch, members)):
        return None
    return ",".join(members)


def baggage_of(values: list[bytes]) -> str | None:
    """Return the baggage as one header; "" for none, None for one that is broken or too large.

    Source: W3C Baggage, sections 3.2 and 3.3.
    """
    members = _members(values, BAGGAGE_BYTES_MAX)
    if members is None or len(members) > BAGGAGE_MEMBERS_MAX:
        return None
    return ",".join(members) if all(map(_BAGGAGE.fullmatch, members)) else None


def _members(values: list[bytes], most: int) -> list[str] | None:
    """Return the members of a list header; None if it is too long."""
    text = b",".join(values)
    if len(text) > most:
        return None
    return [part for part in (p.strip(" \t") for p in text.decode("latin-1").split(",")) if part]
