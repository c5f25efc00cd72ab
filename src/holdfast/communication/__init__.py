"""HTTP between clients, services and others: the server, the client pool, and ASGI apps."""

from holdfast.communication.asgi import AsgiLifespan, asgi_handler
from holdfast.communication.client import ClientPool, PoolStats
from holdfast.communication.framing import HttpLimits, is_host
from holdfast.communication.occupancy import Occupancy
from holdfast.communication.origin import LOOPBACK, PORT, Origin, origin_and_path
from holdfast.communication.server import HttpServer, HttpStats
from holdfast.communication.upstream import PoolLimits

__all__ = [
    "LOOPBACK",
    "PORT",
    "AsgiLifespan",
    "ClientPool",
    "HttpLimits",
    "HttpServer",
    "HttpStats",
    "Occupancy",
    "Origin",
    "PoolLimits",
    "PoolStats",
    "asgi_handler",
    "is_host",
    "origin_and_path",
]
