"""The handlers of `benchmarks.ours.till` in FastAPI on uvicorn, with nothing else on."""

import uvloop

from benchmarks.ours.till import Done, work
from benchmarks.peers.fastapi_app import app, main


@app.get("/v1/pay")
@app.get("/v1/sell")
@app.get("/v1/count")
async def sell() -> Done:
    """Hold the loop, and answer."""
    work()
    return Done(what="sell")


if __name__ == "__main__":
    uvloop.run(main())
