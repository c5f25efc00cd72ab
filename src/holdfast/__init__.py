"""Holdfast: cloud-native backends in typed Python that lose nothing while things break."""

from pydantic import Field

# What services say to each other.
from holdfast.contract import Cancelled, Command, Event, Failure, Model, Query, Unanswered, Undo

# What is declared, and what handlers take.
from holdfast.system import (
    Attempts,
    Caller,
    Cors,
    External,
    ExternalAnswer,
    Gateway,
    Header,
    Mounted,
    Outside,
    Pool,
    Rate,
    Read,
    Saga,
    Service,
    Settings,
    Slo,
    System,
    Tokens,
    Tx,
)

__all__ = [
    "Attempts",
    "Caller",
    "Cancelled",
    "Command",
    "Cors",
    "Event",
    "External",
    "ExternalAnswer",
    "Failure",
    "Field",
    "Gateway",
    "Header",
    "Model",
    "Mounted",
    "Outside",
    "Pool",
    "Query",
    "Rate",
    "Read",
    "Saga",
    "Service",
    "Settings",
    "Slo",
    "System",
    "Tokens",
    "Tx",
    "Unanswered",
    "Undo",
]
