"""The story of an order: what the databases of all services still hold of it, told in causal order.

`databases` finds the databases, `search` reads them, and writes nothing. From there on it is pure:
`tell` makes the `OrderStory` of rows, `text` and `mermaid` write it down.
"""

from holdfast.story.databases import ServiceDatabase, databases_of, runs
from holdfast.story.entry import Advice, Entry, Open, OrderStory, document
from holdfast.story.mermaid import diagram
from holdfast.story.order_rows import OrderRows, Wanted, wanted
from holdfast.story.search import find
from holdfast.story.tell import tell
from holdfast.story.text import lines

__all__ = [
    "Advice",
    "Entry",
    "Open",
    "OrderRows",
    "OrderStory",
    "ServiceDatabase",
    "Wanted",
    "databases_of",
    "diagram",
    "document",
    "find",
    "lines",
    "runs",
    "tell",
    "wanted",
]
