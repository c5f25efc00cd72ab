"""The gateway with everything on, against a bare aiohttp proxy, before the same trivial backend.

Target: 3 times the requests a second, one core each.
"""

from benchmarks.harness import Contender, Plan, Row, compare, versus
from benchmarks.process import LOAD_CORE, Server, running
from benchmarks.route import load, requests

TARGET = 3.0


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    backend = Server("backend", "benchmarks.peers.backend", core=LOAD_CORE)
    async with running(backend):
        ours = Server("holdfast gateway, everything on", "benchmarks.ours.gateway", backend.url)
        peer = Server("aiohttp proxy, bare", "benchmarks.peers.aiohttp_proxy", backend.url)
        wanted = requests()
        async with running(ours, peer):
            samples = await compare(
                [Contender(s, load(s, wanted), beside=[backend]) for s in (ours, peer)], plan
            )
    return [versus("gateway", "requests/s", samples, target=TARGET)]
