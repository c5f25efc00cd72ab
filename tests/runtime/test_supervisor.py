"""The processes of one system are watched for as long as it runs."""

import asyncio
import sys
from pathlib import Path

from holdfast import Service, System
from holdfast.engines.machine import MachineClock
from holdfast.runtime.identity import operator_of
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.runtime.supervisor import Supervisor
from tests.identities import Identities

READY = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


async def test_a_process_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    """Its program is missing for a while, as a process table that is full is full for a while."""
    supervisor = Supervisor(
        System("small", services=[Service("shop")]),
        "small",
        tmp_path,
        host="127.0.0.1",
        port=0,
        ops_port=None,
        replicas={},
        environ={"BROKER_URL": "nats://nowhere"},
        drain_s=1.0,
        processes=1,
    )
    [member] = supervisor.members.values()
    program = tmp_path / "program"
    member.command = [str(program), str(member.operations.port)]
    started = asyncio.create_task(supervisor.start())
    async with asyncio.timeout(300):
        while member.starts < 2:
            await asyncio.sleep(0.01)
    there = tmp_path / "there"
    there.write_text(f"#!{sys.executable}\n{READY}")
    there.chmod(0o700)
    there.rename(program)
    async with asyncio.timeout(300):
        await started
    pid = member.pid
    await supervisor.stop()

    assert pid is not None
    assert member.pid is None


async def test_who_waits_for_a_process_has_an_identity_that_is_followed(tmp_path: Path) -> None:
    """The authority has changed since the start: the old operator would be taken in by nobody."""
    authority = LocalAuthority(tmp_path / "identities", "small", MachineClock())
    supervisor = Supervisor(
        System("small", services=[Service("shop")]),
        "small",
        tmp_path,
        host="127.0.0.1",
        port=0,
        ops_port=None,
        replicas={},
        environ={"BROKER_URL": "nats://nowhere"},
        drain_s=1.0,
        authority=authority,
        processes=1,
    )
    [member] = supervisor.members.values()
    served, _ = Identities(tmp_path / "identities", "small").read(authority.issue("shop"))
    supervisor._operator = operator_of(authority, "small")
    for step in (authority.announce, authority.switch, authority.forget):
        step()
        assert served.look()

    async def ready(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    at = member.operations
    async with await asyncio.start_server(ready, at.host, at.port, ssl=served.listens()):
        await supervisor._ready(member)
