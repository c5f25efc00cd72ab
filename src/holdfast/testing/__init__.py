"""For tests of systems: `play` a saga without a loop or a database, or run a whole system."""

from holdfast.testing.play import Story, play
from holdfast.testing.run import Broken, Client, Running, running
from holdfast.testing.virtual import virtual_time

__all__ = ["Broken", "Client", "Running", "Story", "play", "running", "virtual_time"]
