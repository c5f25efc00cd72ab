"""What services agree on: models, messages, failures, and how they travel."""

from holdfast.contract.failure import Cancelled, Failure, Unanswered
from holdfast.contract.messages import Command, Event, Message, Query, Undo
from holdfast.contract.model import Model

__all__ = [
    "Cancelled",
    "Command",
    "Event",
    "Failure",
    "Message",
    "Model",
    "Query",
    "Unanswered",
    "Undo",
]
