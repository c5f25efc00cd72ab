"""An event loop on real sockets whose clock a test can put forward.

Limits can then be long, which no slow machine passes by itself, and a test need not wait for them.
"""

import asyncio


class SkippingLoop(asyncio.SelectorEventLoop):
    """The loop; `time()` is the real one and what was skipped."""

    _skipped_s = 0.0

    def time(self) -> float:
        """Return seconds."""
        return super().time() + self._skipped_s

    def skip(self, seconds: float) -> None:
        """Put the clock forward."""
        self._skipped_s += seconds


async def pass_time(seconds: float) -> None:
    """Let the loop take what has arrived, put its clock forward, and let it do what is due."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    for _ in range(20):
        await asyncio.sleep(0)
    loop.skip(seconds)
    for _ in range(20):
        await asyncio.sleep(0)
