"""The route of `benchmarks.ours.route`, and an app that streams a large answer beside it."""

from dataclasses import replace

import uvloop

from benchmarks.ours import route
from benchmarks.peers.feed import feed
from holdfast import Service

_feed = Service("feed")
_feed.mount("/feed", feed, public=True)


if __name__ == "__main__":
    route.system = replace(route.system, services=[*route.system.services, _feed])
    uvloop.run(route.main())
