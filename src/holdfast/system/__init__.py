"""What users declare, and the graph that is read from it."""

from holdfast.system.attempts import Attempts
from holdfast.system.deploy import Build, Deploy, Environment, Pods
from holdfast.system.external import External, ExternalAnswer
from holdfast.system.gateway import Cors, Gateway
from holdfast.system.graph import Graph, GraphEdge
from holdfast.system.introspection import Introspection
from holdfast.system.objectives import Objective
from holdfast.system.parameters import Caller, Mounted, Outside, Read, Saga, Tx
from holdfast.system.pools import Pool, pool_of
from holdfast.system.rate import Rate
from holdfast.system.service import Service
from holdfast.system.settings import Settings
from holdfast.system.signature import Header
from holdfast.system.slo import Slo
from holdfast.system.system import System
from holdfast.system.tokens import Tokens

__all__ = [
    "Attempts",
    "Build",
    "Caller",
    "Cors",
    "Deploy",
    "Environment",
    "External",
    "ExternalAnswer",
    "Gateway",
    "Graph",
    "GraphEdge",
    "Header",
    "Introspection",
    "Mounted",
    "Objective",
    "Outside",
    "Pods",
    "Pool",
    "Rate",
    "Read",
    "Saga",
    "Service",
    "Settings",
    "Slo",
    "System",
    "Tokens",
    "Tx",
    "pool_of",
]
