"""Holdfast: cloud-native backends in typed Python that lose nothing while things break."""

from pydantic import Field

# What services say to each other.
from holdfast.contract import Cancelled, Command, Event, Failure, Model, Query, Unanswered, Undo

# What is declared, and what handlers take.
from holdfast.system import (
    Attempts,
    Build,
    Caller,
    Cors,
    Deploy,
    Environment,
    External,
    ExternalAnswer,
    Gateway,
    Header,
    Mounted,
    Outside,
    Pods,
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
    "Build",
    "Caller",
    "Cancelled",
    "Command",
    "Cors",
    "Deploy",
    "Environment",
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
    "Pods",
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
