"""How a system does at this moment: its graph, and what its processes say of each edge.

`ask` gets what they say, over the control sockets of a data folder or at the operations ports of
other machines. From there on it is pure: `picture` compares two looks, `table` draws.
"""

from holdfast.live.ask import Said, ask
from holdfast.live.picture import LiveEdge, LiveGraph, LiveService, picture
from holdfast.live.sample import Sample, read_sample
from holdfast.live.table import drawn

__all__ = [
    "LiveEdge",
    "LiveGraph",
    "LiveService",
    "Said",
    "Sample",
    "ask",
    "drawn",
    "picture",
    "read_sample",
]
