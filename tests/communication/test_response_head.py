"""A head that somebody made beforehand is sent as one that is made of headers."""

import pytest

from holdfast.communication.response_head import Heads
from holdfast.contract.http import Response

HEADERS = [(b"content-type", b"application/json"), (b"x-correlation-id", b"c-1")]
HEAD = b"".join(b"%b: %b\r\n" % pair for pair in HEADERS)


@pytest.mark.parametrize("status", [200, 201, 299, 499, 599])
@pytest.mark.parametrize(("bare", "closing"), [(False, False), (True, False), (False, True)])
def test_a_head_made_beforehand_changes_nothing(status: int, bare: bool, closing: bool) -> None:
    """Also with a status that has no name, as a route may declare one."""
    heads = Heads(lambda: 1_700_000_000.0)
    plain = heads.encode(Response(status, HEADERS, b"{}"), bare=bare, closing=closing)

    made = heads.encode(Response(status, HEADERS, b"{}", None, HEAD), bare=bare, closing=closing)

    assert made == plain
