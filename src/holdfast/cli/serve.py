"""`holdfast serve`: some services of a system, or its gateway, such as one container's."""

from typing import Annotated

import typer

from holdfast.cli.named import load
from holdfast.cli.options import DataFolderPath, Host, OpsPort, Port, SystemName
from holdfast.cli.output import complain
from holdfast.cli.run import Where, serve_here
from holdfast.communication.origin import LOOPBACK, PORT
from holdfast.contract.spiffe import GATEWAY
from holdfast.runtime.environment import environment
from holdfast.runtime.variables import BROKER_URL
from holdfast.system import Graph

Services = Annotated[
    list[str], typer.Argument(metavar="SERVICE", help="Those to host.", show_default=False)
]


def command(
    system: SystemName,
    services: Services,
    host: Host = LOOPBACK,
    port: Port = PORT,
    ops_port: OpsPort = None,
    data: DataFolderPath = None,
) -> None:
    """Serve only the named services of a system; `gateway` is the gateway.

    With BROKER_URL the others are reached where their processes are. Without it, the gateway is
    in this process, and what the others would have to do is listed on stderr.
    """
    loaded = load(system)
    apart = bool(environment(loaded.system, services).get(BROKER_URL))
    gateway = GATEWAY in services or not apart
    hosted = tuple(name for name in dict.fromkeys(services) if name != GATEWAY)
    for name in hosted:
        loaded.system.service(name)
    for line in [] if apart else leaving(loaded.system.graph(), hosted):
        complain(line)
    serve_here(loaded, Where(host, port, ops_port, data, hosted, gateway))


def leaving(graph: Graph, hosted: tuple[str, ...]) -> list[str]:
    """Return a line for each edge from a hosted service to one that is not."""
    lines: list[str] = []
    for edge in graph.edges:
        if edge.sender not in hosted or edge.receiver in hosted or edge.kind == "external":
            continue
        if edge.kind == "query":
            fate = f"cannot be answered: {edge.receiver} is not hosted here"
        else:
            fate = "waits in the outbox until a broker is configured"
        lines.append(f"{edge.sender} → {edge.receiver}: {edge.kind} {edge.message} {fate}")
    return lines
