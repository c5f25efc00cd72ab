"""The entry point: who may come in, how often, and where to."""

from holdfast.dispatch.inner_headers import DEADLINE
from holdfast.gateway.authentication import Verifier
from holdfast.gateway.door import Door
from holdfast.gateway.exchange import Exchange
from holdfast.gateway.forward import Forward, hop_policy
from holdfast.gateway.possession import Possession

__all__ = [
    "DEADLINE",
    "Door",
    "Exchange",
    "Forward",
    "Possession",
    "Verifier",
    "hop_policy",
]
