"""How a system does at this moment: its graph, and what its processes say of each edge.

`ask` gets what they say, over the control sockets of a data folder or at the operations ports of
other machines. From there on it is pure: `picture` compares two looks. `live.table` draws, and is
imported by who does: what it draws with is a tenth of what else a look imports.
"""

from holdfast.live.ask import Said, ask
from holdfast.live.picture import LiveEdge, LiveGraph, LiveService, picture
from holdfast.live.sample import Sample, read_sample

__all__ = [
    "LiveEdge",
    "LiveGraph",
    "LiveService",
    "Said",
    "Sample",
    "ask",
    "picture",
    "read_sample",
]
