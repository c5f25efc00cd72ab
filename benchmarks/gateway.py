"""The gateway with everything on, against a bare aiohttp proxy, before the same trivial backend.

Target: 3 times the requests a second, one core each.
"""

from benchmarks.harness import Contender, Plan, Row, Sample, compare, versus
from benchmarks.process import LOAD_CORE, Server, running
from benchmarks.route import load, requests
from benchmarks.tree import HERE, Tree

TARGET = 3.0
_OURS = "benchmarks.ours.gateway"


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    backend = Server("backend", "benchmarks.peers.backend", core=LOAD_CORE)
    async with running(backend):
        ours = Server("holdfast gateway, everything on", _OURS, backend.url)
        peer = Server("aiohttp proxy, bare", "benchmarks.peers.aiohttp_proxy", backend.url)
        samples = await _both(ours, peer, backend, plan)
    return [versus("gateway", "requests/s", samples, target=TARGET)]


async def against(plan: Plan, tree: Tree) -> list[Row]:
    """Measure it beside the same of another commit."""
    backend = Server("backend", "benchmarks.peers.backend", core=LOAD_CORE)
    async with running(backend):
        ours = Server(HERE, _OURS, backend.url)
        then = Server(tree.name, _OURS, backend.url, tree=tree.path)
        samples = await _both(ours, then, backend, plan)
    return [versus("gateway", "requests/s", samples)]


async def _both(
    ours: Server, other: Server, backend: Server, plan: Plan
) -> dict[str, list[Sample]]:
    wanted = requests()
    async with running(ours, other):
        sides = [Contender(s, load(s, wanted), beside=[backend]) for s in (ours, other)]
        return await compare(sides, plan)
