"""What caused a piece of work: the request that it goes back to, and the span that asked for it."""

import msgspec


class Cause(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What travels with a request, a query and a letter, and is stored with a letter and a saga.

    Attributes:
        correlation: the correlation id of the request; it survives new traces.
        trace: W3C traceparent of the span that asked for the work.
        tracestate, baggage: the W3C headers that came with the request, handed on as they came.
        subject: for whom the request was, as data: whoever reads it has no proof of it, and it
            allows nothing. "" for nobody, and where the name is too long to be carried.
    """

    correlation: str = ""
    trace: str = ""
    tracestate: str = ""
    baggage: str = ""
    subject: str = ""


SUBJECT_CHARS_MAX = 255
"""OpenID Connect allows no longer subject; one that is longer does not travel with letters."""

NO_CAUSE = Cause()
