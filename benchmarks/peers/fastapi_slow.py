"""The route of `benchmarks.peers.fastapi_app`, and an app that streams a large answer beside it."""

import uvloop

from benchmarks.peers.fastapi_app import app, main
from benchmarks.peers.feed import feed

app.mount("/feed", feed)

if __name__ == "__main__":
    uvloop.run(main())
