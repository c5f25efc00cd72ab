"""What things are called on NATS: streams, subjects and inboxes.

Names of systems and services have neither dots nor underscores, so that no two of these are alike.
"""

from typing import Final

API: Final = "$JS.API"
"""Begins the subjects of JetStream's requests."""
IMPORTED: Final = "_js"
"""Begins those that a service may make, where the streams are in an account of their own."""
INBOX: Final = "_INBOX"
"""Begins all inboxes."""
PROVISION: Final = "_provision"
"""Begins the subjects on which services ask for their streams."""
CONNECTIONS, FIGURES, KICK = "_server.CONNZ", "_server.VARZ", "_server.KICK"
"""Where the provisioner asks all servers for their connections and figures, and one to end one."""
OF_SERVERS: Final = {
    CONNECTIONS: "$SYS.REQ.SERVER.PING.CONNZ",
    FIGURES: "$SYS.REQ.SERVER.PING.VARZ",
    f"{KICK}.*": "$SYS.REQ.SERVER.*.KICK",
}
"""{subject: what it is in the servers' own account}."""
TERMINATED: Final = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED"
"""Begins the subjects on which a server says that a parcel was thrown away by who reads it."""


def stream_of(system: str, service: str, lane: str) -> str:
    """Return the name of a lane's stream, and of its one consumer."""
    return f"{system}_{service}_{lane}"


def subject_of(system: str, service: str, lane: str, sender: str) -> str:
    """Return where one service publishes parcels for another; nobody else may do so there."""
    return f"{system}.{service}.{lane}.{sender}"


def subjects_of(system: str, service: str, lane: str, *, named: bool) -> list[str]:
    """Return what a lane's stream takes.

    Args:
        named: from senders that are known alone. Otherwise from releases that did not say who
            they are, too: during an update from one of them nothing has to wait.
    """
    bare = f"{system}.{service}.{lane}"
    return [f"{bare}.*"] if named else [f"{bare}.*", bare]


def sender_of(system: str, service: str, lane: str, subject: str) -> str | None:
    """Return who published a parcel of a lane, "" of a release that did not say so.

    None: it is no subject of that lane, and whatever came on it did not come from its stream.
    """
    bare = f"{system}.{service}.{lane}"
    if subject == bare:
        return ""
    sender = subject.removeprefix(f"{bare}.")
    return sender if sender != subject and "." not in sender else None


def inbox_of(system: str, name: str) -> str:
    """Return what the inboxes of a workload begin with; nobody else may listen there."""
    return f"{INBOX}_{system}_{name}"


def pull_of(system: str, service: str, lane: str, *, api: str) -> str:
    """Return where a service asks for what its stream holds."""
    stream = stream_of(system, service, lane)
    return f"{api}.CONSUMER.MSG.NEXT.{stream}.{stream}"


def provision_of(system: str, service: str) -> str:
    """Return where a service asks for its streams."""
    return f"{PROVISION}.{system}.{service}"
