"""The gateway with everything on, against bare proxies, before the same trivial backend.

Targets: 5 times the requests a second of an aiohttp proxy, and a quarter of nginx's where that is
installed; one core each.
"""

import shutil
import sys
from collections.abc import Sequence

from benchmarks.harness import Contender, Plan, Row, Sample, compare, versus
from benchmarks.process import LOAD_CORE, Server, running
from benchmarks.route import load, requests
from benchmarks.tree import HERE, Tree

AIOHTTP_TARGET, NGINX_TARGET = 5.0, 0.25
_OURS = "benchmarks.ours.gateway"


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    backend = Server("backend", "benchmarks.peers.backend", core=LOAD_CORE)
    async with running(backend):
        ours = Server("holdfast gateway, everything on", _OURS, backend.url)
        peers = {
            Server("aiohttp proxy, bare", "benchmarks.peers.aiohttp_proxy", backend.url): (
                AIOHTTP_TARGET
            )
        }
        if shutil.which("nginx") is None:
            print("nginx is not installed, so it is not compared", file=sys.stderr)
        else:
            nginx = Server("nginx, bare", "benchmarks.peers.nginx_proxy", backend.url)
            peers[nginx] = NGINX_TARGET
        samples = await _all([ours, *peers], backend, plan)

    def beside(peer: Server, target: float) -> Row:
        both = {name: samples[name] for name in (ours.name, peer.name)}
        return versus(f"gateway, beside {peer.name}", "requests/s", both, target=target)

    return [beside(peer, target) for peer, target in peers.items()]


async def against(plan: Plan, tree: Tree) -> list[Row]:
    """Measure it beside the same of another commit."""
    backend = Server("backend", "benchmarks.peers.backend", core=LOAD_CORE)
    async with running(backend):
        ours = Server(HERE, _OURS, backend.url)
        then = Server(tree.name, _OURS, backend.url, tree=tree.path)
        samples = await _all([ours, then], backend, plan)
    return [versus("gateway", "requests/s", samples)]


async def _all(servers: Sequence[Server], backend: Server, plan: Plan) -> dict[str, list[Sample]]:
    wanted = requests()
    async with running(*servers):
        sides = [Contender(s, load(s, wanted), beside=[backend]) for s in servers]
        return await compare(sides, plan)
