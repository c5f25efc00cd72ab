"""CORS: which pages of other origins a browser lets read an answer. Source: the Fetch standard.

It protects users of browsers, and is no authorisation: whoever is no browser ignores it.
"""

import re

from holdfast.contract.http import HeaderList, Request, Response
from holdfast.system import Cors

_REQUEST_HEADERS = b"access-control-request-headers"
_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_OF_ANSWERS = frozenset(
    [
        b"access-control-allow-origin",
        b"access-control-allow-credentials",
        b"access-control-expose-headers",
    ]
)
_VARY_ORIGIN = (b"vary", b"origin")


class CorsRules:
    """The rules of one gateway, as headers that are made once."""

    def __init__(self, cors: Cors) -> None:
        self._anybody = "*" in cors.origins
        extra: HeaderList = []
        if cors.credentials:
            extra.append((b"access-control-allow-credentials", b"true"))
        exposed = [*extra, (b"access-control-expose-headers", ", ".join(cors.expose).encode())]
        self._granted: dict[bytes, HeaderList] = {
            origin.encode(): [(b"access-control-allow-origin", origin.encode()), *exposed]
            for origin in cors.origins
        }
        self._preflight: HeaderList = [
            (b"access-control-allow-methods", ", ".join(cors.methods).encode()),
            (b"access-control-max-age", str(cors.max_age_s).encode()),
        ]
        self._any_header = "*" in cors.headers
        self._headers = ", ".join(cors.headers).encode()

    def preflight(self, request: Request) -> Response:
        """Answer a preflight: with what is allowed, whatever was asked, so that it can be kept."""
        origin = self._allowed(request.header(b"origin"))
        headers: HeaderList = [(b"vary", b"access-control-request-headers")]
        if origin is not None:
            headers += self._preflight
            asked = request.header(_REQUEST_HEADERS) or b""
            if not self._any_header:
                headers.append((b"access-control-allow-headers", self._headers))
            elif _NAMES.fullmatch(asked):  # "*" as it is would not allow `authorization`
                headers.append((b"access-control-allow-headers", asked))
        return Response(204, headers)

    def dress(self, origin: bytes | None, response: Response) -> Response:
        """Return an answer as the page that asked for it may read it, if its origin is allowed.

        What a mounted app says itself is taken away: two answers to one question allow nothing.
        """
        kept = [pair for pair in response.headers if pair[0] not in _OF_ANSWERS]
        headers = kept + self.answer(origin)
        return Response(response.status, headers, response.body, response.stream)

    def answer(self, origin: bytes | None) -> HeaderList:
        """Return the headers of an answer to a page of `origin`; None: no page asked."""
        headers: HeaderList = []
        if not self._anybody:
            headers.append(_VARY_ORIGIN)
        allowed = self._allowed(origin)
        if allowed is not None:
            headers += self._granted[allowed]
        return headers

    def _allowed(self, origin: bytes | None) -> bytes | None:
        if origin is None:
            return None
        if self._anybody:
            return b"*"
        return origin if origin in self._granted else None
