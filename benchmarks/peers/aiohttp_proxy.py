"""A proxy of aiohttp's server and client on uvloop, with nothing else on."""

import argparse
import asyncio
import json

import uvloop
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


async def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", help="http://host:port")
    upstream = parser.parse_args().upstream
    connections = TCPConnector(limit=64)
    async with ClientSession(connector=connections, cookie_jar=DummyCookieJar()) as session:

        async def forward(request: web.Request) -> web.Response:
            headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP]
            body = await request.read()
            url = f"{upstream}{request.raw_path}"
            async with session.request(request.method, url, headers=headers, data=body) as answer:
                kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP]
                return web.Response(status=answer.status, headers=kept, body=await answer.read())

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(json.dumps({"url": "http://127.0.0.1:{1}".format(*runner.addresses[0])}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
