"""The whole system under deterministic simulation: virtual time, simulated engines, faults."""

from holdfast.errors import BrokenWorkload
from holdfast.simulation.client import Answer, Client
from holdfast.simulation.run import Outcome, Violation, run
from holdfast.simulation.world import Setup, World

__all__ = ["Answer", "BrokenWorkload", "Client", "Outcome", "Setup", "Violation", "World", "run"]
