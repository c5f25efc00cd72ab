"""The floor: what one route does with everything on, written straight, and both without sockets."""

from benchmarks.floor.figure import against, measure

__all__ = ["against", "measure"]
