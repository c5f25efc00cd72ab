"""The part of a nats-server's settings that says who may do what, as text: for every kind of run.

A client is whom the URI in its certificate names, and nobody else: two systems that trust one
authority may both have a service `orders`.
"""

from collections.abc import Iterable
from pathlib import PurePath

from holdfast.contract.spiffe import PROVISIONER, spiffe_id
from holdfast.engines.nats_names import API, IMPORTED, OF_SERVERS
from holdfast.runtime.nats_rights import NatsRights, nats_rights
from holdfast.runtime.server_child import quoted
from holdfast.system import Graph

STREAMS = "STREAMS"  # no service has capitals in its name
SYSTEM = "$SYS"  # the servers' own; by another name those of before would not know them
HANDSHAKE_S = 5
ANSWER_S = 60  # how long the provisioner may take to answer


def nats_tls(certificate: PurePath, key: PurePath, trusted: PurePath) -> str:
    """Return the settings by which clients and server prove who they are: TLS 1.3 alone.

    TLS begins with the first byte, so that nothing is said in clear to anybody.
    """
    return f"""\
tls {{
  cert_file: {quoted(certificate)}
  key_file: {quoted(key)}
  ca_file: {quoted(trusted)}
  verify_and_map: true
  handshake_first: true
  min_version: "1.3"
  timeout: {HANDSHAKE_S}
}}
"""


def nats_accounts(graph: Graph) -> str:
    """Return the accounts: one for each workload, and one of the streams and the provisioner.

    Who is in none of them is not let in. Nobody is in that of the servers, which lets the
    provisioner ask who is connected, and have a connection ended.
    """
    rights = nats_rights(graph)
    provisioner = rights.pop(PROVISIONER)
    owners: dict[str, list[str]] = {}
    for name, own in sorted(rights.items()):
        for subject in own.publish:
            owners.setdefault(subject, []).append(name)
    exports = "".join(
        _export(_there(subject), names, several=".MSG.NEXT." in subject)
        for subject, names in sorted(owners.items())
    )
    accounts = [
        f"  {name} {{\n{_user(graph, name, own)}    imports: [\n"
        + "".join(_import(subject, STREAMS, _there(subject)) for subject in own.publish)
        + "    ]\n  }\n"
        for name, own in sorted(rights.items())
    ]
    streams = f"  {STREAMS} {{\n    jetstream: enabled\n{_user(graph, PROVISIONER, provisioner)}"
    return (
        "accounts {\n"
        + streams
        + f"    exports: [\n{exports}    ]\n"
        + "    imports: [\n"
        + "".join(_import(here, SYSTEM, there) for here, there in OF_SERVERS.items())
        + "    ]\n  }\n"
        + f"  {SYSTEM} {{\n    exports: [\n"
        + "".join(
            _export(there, [STREAMS], several="PING" in there) for there in OF_SERVERS.values()
        )
        + "    ]\n  }\n"
        + "".join(accounts)
        + "}\n"
    )


def _there(subject: str) -> str:
    """Return what a subject of a workload's account is in the account of the streams."""
    found = subject.removeprefix(f"{IMPORTED}.")
    return subject if found == subject else f"{API}.{found}"


def _export(subject: str, names: Iterable[str], *, several: bool) -> str:
    answers = ', response_type: "stream"' if several else ""
    accounts = ", ".join(map(quoted, names))
    return f"      {{ service: {quoted(subject)}{answers}, accounts: [{accounts}] }}\n"


def _import(subject: str, account: str, there: str) -> str:
    here = f", to: {quoted(subject)}" if there != subject else ""
    account = quoted(account) if "$" in account else account  # else it names a variable
    return f"      {{ service: {{ account: {account}, subject: {quoted(there)} }}{here} }}\n"


def _user(graph: Graph, name: str, rights: NatsRights) -> str:
    answers = ""
    if rights.answers:
        answers = f'          allow_responses: {{ max: 1, expires: "{ANSWER_S}s" }}\n'
    return f"""\
    users: [
      {{
        user: {quoted(spiffe_id(graph.system, name))}
        permissions: {{
          publish: {{
            allow: {_list(rights.publish)}
            deny: {_list(rights.denied)}
          }}
          subscribe: {{
            allow: {_list(rights.subscribe)}
            deny: {_list(rights.unheard)}
          }}
{answers}        }}
      }}
    ]
"""


def _list(subjects: Iterable[str]) -> str:
    lines = "".join(f"              {quoted(subject)}\n" for subject in subjects)
    return f"[\n{lines}            ]"
