"""The entry point: who may come in, how often, and where to."""

from holdfast.dispatch.inner_headers import DEADLINE
from holdfast.gateway.authentication import Verifier
from holdfast.gateway.door import Door, DoorStats
from holdfast.gateway.exchange import Exchange
from holdfast.gateway.forward import Forward, hop_policy

__all__ = ["DEADLINE", "Door", "DoorStats", "Exchange", "Forward", "Verifier", "hop_policy"]
