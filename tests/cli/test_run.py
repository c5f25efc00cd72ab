"""`holdfast run` and `serve`: start, refuse to start, drain, end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from shop.system import TRY
from tests.cli.conftest import Cli, Server

Serve = Callable[..., Server]


def test_the_greeting_names_addresses_data_and_lines_to_try(serve: Serve) -> None:
    """Whoever starts it sees where it is; the module's TRY has the gateway's address filled in."""
    server = serve("run", "tiny")
    shown = dict(line.split(maxsplit=1) for line in server.greeting if line.startswith("  "))

    assert server.greeting[0] == "tiny is ready"
    assert shown["services"] == "desk, shed"
    assert shown["data"].endswith(".holdfast/tiny")
    assert server.post("/v1/parcels", {"note": "a"}) == 202
    assert server.stop() == 0


def test_logs_are_json_on_stdout_and_say_when_it_is_ready(serve: Serve) -> None:
    """Each line is a JSON object; the last ones tell of the drain."""
    server = serve("run", "tiny")
    server.post("/v1/parcels", {"note": "a"})

    code = server.stop()

    events = server.events()
    events.remove("handled")  # before the drain, or in it
    assert code == 0
    told = [event for event in events if not event.startswith("audit")]
    assert told == ["process.ready", "request", "process.draining", "process.stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_finished(cli: Cli, serve: Serve, number: signal.Signals) -> None:
    """After the signal nothing new is accepted, and what is under way gets its answer."""
    server = serve("run", "tiny")
    gate = cli.folder / "gate"
    os.mkfifo(gate)
    statuses: list[int] = []
    client = threading.Thread(
        target=lambda: statuses.append(server.post("/v1/gates", {"path": str(gate)}))
    )
    client.start()

    with gate.open("w"):  # returns once the handler has opened it for reading
        server.signal(number)
        _until_refused(server)
    client.join(300)

    assert statuses == [200]
    assert server.wait() == 0


def test_a_second_signal_ends_it_at_once(cli: Cli, serve: Serve) -> None:
    """Whoever cannot wait for the drain sends the signal again."""
    server = serve("run", "tiny")
    gate = cli.folder / "gate"
    os.mkfifo(gate)

    def call() -> None:
        with pytest.raises(OSError, match=r".*"):
            server.post("/v1/gates", {"path": str(gate)})

    client = threading.Thread(target=call)
    client.start()
    with gate.open("w"):
        server.signal(signal.SIGINT)
        _until_refused(server)
        server.signal(signal.SIGINT)
        code = server.wait()
    client.join(300)

    assert code == -signal.SIGINT


def test_a_busy_folder_is_one_line(cli: Cli, serve: Serve) -> None:
    """The line names the folder, its owner, and what to do."""
    server = serve("run", "tiny")

    done = cli.quick("run", "tiny", "--port", "0")

    assert done.code == 1
    assert f"is in use by process {server.pid}; stop it, or give another folder" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--port", "--ops-port"])
def test_a_port_in_use_is_one_line(cli: Cli, option: str) -> None:
    """Both listeners name the very port that is taken; the folder is free again afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = {"--port": "0", "--ops-port": "0", option: port}
        done = cli.quick("run", "tiny", *[word for pair in ports.items() for word in pair])

    line = f"holdfast: 127.0.0.1:{port} is in use by another process; choose another port with"
    assert done.code == 1
    assert done.err.startswith(line)
    assert len(done.err.splitlines()) == 1


def test_an_address_of_another_machine_is_one_line(cli: Cli) -> None:
    """An address that is not ours cannot be listened on."""
    done = cli.quick("run", "tiny", "--host", "203.0.113.7", "--port", "0")

    assert done.code == 1
    assert done.err.startswith("holdfast: cannot listen on 203.0.113.7:")
    assert len(done.err.splitlines()) == 1


def test_bad_settings_are_listed(cli: Cli) -> None:
    """Each bad variable is a line with the variable, its value, and what it should be."""
    done = cli.quick("run", "tiny", HOLDFAST_DRAIN_S="soon", HOLDFAST_THREADS="0", FAX_URL="fax")
    url = cli.quick("run", "tiny", FAX_URL="fax")

    lines = done.err.splitlines()
    assert (done.code, url.code) == (1, 1)
    assert [line.split("=")[0] for line in lines] == [
        "holdfast: HOLDFAST_DRAIN_S",
        "holdfast: HOLDFAST_THREADS",
    ]
    assert url.err == "holdfast: FAX_URL='fax': write it as https://host[:port]\n"


def test_a_data_folder_that_is_none_is_one_line(cli: Cli) -> None:
    """A file in the place of the folder, or of something else in the place of a database."""
    (cli.folder / "file").write_text("x")
    (cli.folder / "data").mkdir(mode=0o700)
    (cli.folder / "data" / "desk.db").write_bytes(b"this is no database" * 100)
    (cli.folder / "data" / "desk.db").chmod(0o600)

    in_the_way = cli.quick("run", "tiny", "--port", "0", "--data", "file")
    garbled = cli.quick("run", "tiny", "--port", "0", "--data", "data")

    assert (in_the_way.code, garbled.code) == (1, 1)
    assert in_the_way.err.startswith("holdfast: ")
    assert "cannot be used: File exists" in in_the_way.err
    damaged = f"holdfast: {cli.folder}/data/desk.db is damaged: file is not a database; desk cannot"
    assert garbled.err.startswith(damaged)
    assert len(garbled.err.splitlines()) == 1
    assert len(in_the_way.err.splitlines()) == 1


def test_serve_hosts_the_named_services_alone(serve: Serve) -> None:
    """Letters to the others wait, which is said at the start; nothing is lost by it."""
    server = serve("serve", "tiny", "desk")

    assert server.greeting[:2] == [
        "holdfast: desk → shed: command Pack.v1 waits in the outbox until a broker is configured",
        "holdfast: desk → shed: undo Unpack.v1 waits in the outbox until a broker is configured",
    ]
    assert any(line.split() == ["services", "desk"] for line in server.greeting)
    assert server.post("/v1/parcels", {"note": "a"}) == 202
    assert server.stop() == 0


def test_what_was_taken_by_one_half_is_done_by_the_whole(cli: Cli, serve: Serve) -> None:
    """A saga that waited in the outbox of `serve` completes under `run`, on the same folder."""
    half = serve("serve", "tiny", "desk")
    half.post("/v1/parcels", {"note": "a"})
    half.stop()
    waiting = cli.quick("sagas", "list", "tiny", "--json").json()

    whole = serve("run", "tiny")
    _until_settled(cli, waiting[0]["id"])

    assert [saga["state"] for saga in waiting] == ["running"]
    assert whole.stop() == 0


def test_the_log_may_be_written_for_people(cli: Cli, serve: Serve) -> None:
    """HOLDFAST_LOG_FORM=console puts time, level and event first, also into a file."""
    server = serve("run", "tiny", environ={"HOLDFAST_LOG_FORM": "console"})

    server.stop()

    assert "process.ready" in server.log.read_text()
    assert not server.log.read_text().startswith("{")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_lines_that_the_shop_proposes_work(cli: Cli, serve: Serve) -> None:
    """Typed one after the other, they open an account, log in, and place an order."""
    server = serve("run", "shop")
    script = "\n".join(TRY).replace("{url}", f"http://{server.address}")

    shell = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, timeout=300, check=True
    )

    assert '"email":"ada@example.com"' in shell.stdout
    assert '"state":"placed","total_cents":5500' in shell.stdout


def test_importing_a_command_is_quick(cli: Cli) -> None:
    """`holdfast --help` imports neither the database layer nor the tables for terminals."""
    code = (
        "import sys; sys.argv = ['holdfast', '--help']\n"
        "from holdfast.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('sqlalchemy', 'rich', 'uvloop') if m in sys.modules], file=sys.stderr)"
    )
    (cli.folder / "quick.py").write_text(code)

    done = _python(cli, "quick.py")

    assert done == "[]\n"


def test_the_data_folder_may_be_anywhere(cli: Cli, serve: Serve, tmp_path: Path) -> None:
    """`--data` is where the databases are, and nothing is written elsewhere."""
    server = serve("run", "tiny", "--data", str(tmp_path / "deep" / "er"))
    server.stop()

    assert (tmp_path / "deep" / "er" / "desk.db").exists()
    assert not (tmp_path / ".holdfast").exists()


def _python(cli: Cli, script: str) -> str:
    ended = subprocess.run(
        [sys.executable, script],
        cwd=cli.folder,
        env=cli.environ({}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    return ended.stderr


def _until_refused(server: Server) -> None:
    """Return when the gateway accepts nobody any more."""
    host, port = server.address.split(":")
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=60).close()
        except ConnectionError:  # refused, or closed before it was accepted
            return


def _until_settled(cli: Cli, saga: str) -> None:
    """Return when a saga has completed; the test's time-out is the bound."""
    while cli.quick("sagas", "show", "tiny", saga, "--json").json()["state"] != "completed":
        pass
