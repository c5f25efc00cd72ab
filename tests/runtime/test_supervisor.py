"""The processes of one system are watched for as long as it runs."""

import asyncio
import sys
from pathlib import Path

from holdfast import Service, System
from holdfast.runtime.supervisor import Supervisor

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
