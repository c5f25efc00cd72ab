"""The card processor where its network is not the machine's."""

from holdfast.contract.http import Request, Response
from shop.processor import http
from shop.processor.api import Processor


class CardProcessor(Processor):
    """A card processor behind Holdfast's own HTTP, which a simulated network carries."""

    async def handle(self, request: Request) -> Response:
        """Serve one request."""
        key = (request.header(b"idempotency-key") or b"").decode("latin-1")
        answer = await self.answer(
            http.Request(request.method, request.path, request.query, key, request.body)
        )
        return Response(answer.status, [(b"content-type", b"application/json")], answer.body)
