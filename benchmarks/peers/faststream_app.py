"""FastStream on JetStream: publishes events, and hears them in the same process.

The handler does nothing, and no database has to commit. It reads lines on its standard input, each
a number of seconds, and answers each with one line of JSON: how many events were heard, and in how
many seconds.
"""

import argparse
import asyncio
import json
import sys
import time

import uvloop
from faststream.nats import JStream, NatsBroker, PullSub
from pydantic import BaseModel

PUBLISHERS = 32


class Noted(BaseModel):
    """The event."""

    number: int
    owner: str
    total_cents: int


async def main() -> None:
    """Run rounds until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nats", required=True)
    broker = NatsBroker(parser.parse_args().nats, logger=None)
    stream = JStream(name="faststream", subjects=["noted"])
    heard = sent = 0

    @broker.subscriber(
        "noted", stream=stream, durable="noted", pull_sub=PullSub(batch_size=100), no_reply=True
    )
    async def hear(noted: Noted) -> None:
        nonlocal heard
        heard += 1

    await broker.start()
    print("ready", flush=True)
    reader = asyncio.get_running_loop()
    while line := await reader.run_in_executor(None, sys.stdin.readline):
        seconds, before = float(line), heard
        begun = time.perf_counter()

        async def publish(until: float) -> None:
            nonlocal sent
            while time.perf_counter() < until:
                sent += 1
                event = Noted(number=sent, owner="ada", total_cents=1250)
                await broker.publish(event, "noted", stream="faststream")

        await asyncio.gather(*(publish(begun + seconds) for _ in range(PUBLISHERS)))
        while heard < sent:
            await asyncio.sleep(0.001)
        took = time.perf_counter() - begun
        print(json.dumps({"count": heard - before, "seconds": took}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
