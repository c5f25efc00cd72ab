"""What an operator does to a system: the same commands, whether it runs or not."""

import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.cli.conftest import Cli, Server

NOBODY = str(UUID(int=1))


@contextmanager
def rude_third_party() -> Iterator[str]:
    """One that hangs up after the request: what came of it cannot be told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)

        threading.Thread(target=hang_up, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def rude() -> Iterator[str]:
    """Its address."""
    with rude_third_party() as url:
        yield url


@pytest.fixture(scope="module")
def handled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a system that has handled one parcel, has another parked, one letter dead."""
    cli = Cli(tmp_path_factory.mktemp("handled"))
    with rude_third_party() as url:
        server = Server(cli, ("run", "tiny"), {"FAX_URL": url})
        try:
            server.post("/v1/parcels", {"note": "a", "kg": 3})
            server.post("/v1/parcels", {"note": "heavy", "kg": 40})
            server.post("/v1/parcels", {"note": "locked"})
            cli.quick("send", "tiny", "Announce", '{"text": "all is well"}')
            while not cli.quick("dead-letters", "list", "tiny").rows or "running" in _states(cli):
                pass  # the test's time-out is the bound
            assert server.stop() == 0
        finally:
            server.end()
    return cli.folder


@pytest.fixture(params=["running", "stopped"])
def operate(
    request: pytest.FixtureRequest,
    handled: Path,
    cli: Cli,
    serve: Callable[..., Server],
    rude: str,
) -> Cli:
    """That system on a copy of its folder."""
    shutil.copytree(handled, cli.folder, dirs_exist_ok=True)
    if request.param == "running":
        serve("run", "tiny", environ={"FAX_URL": rude})
    return cli


def test_sagas_are_listed_shown_and_retried(operate: Cli) -> None:
    """The list finds the parked one, its timeline says why, and a retry resumes it."""
    states = _states(operate)
    parked = operate.quick("sagas", "list", "tiny", "--state", "parked")
    name, service, kind, state, _, ended, error = parked.rows[0]
    shown = operate.quick("sagas", "show", "tiny", name)
    again = operate("sagas", "retry", "tiny", name)
    (operate.folder / "key").touch()
    retried = operate.quick("sagas", "retry", "tiny", name)

    assert sorted(states) == ["completed", "completed", "parked"]
    assert len(parked.rows) == 1
    assert (service, kind, state, ended) == ("desk", "deliver", "parked", "-")
    assert "there is no key" in error
    assert shown.out.startswith(f"deliver {name} parked\n  of desk, version 1, correlation id ")
    assert "\tRuntimeError: there is no key" in shown.out.splitlines()[-2]
    assert re.search(r"\tat /.*/tiny\.py:\d+ in deliver$", shown.out.splitlines()[-1])
    assert again.out == f"deliver {name} is parked\n"
    assert (retried.code, retried.out) == (0, f"deliver {name} is running\n")


def test_a_timeline_has_every_step_with_its_outcome(operate: Cli) -> None:
    """Start, steps and end are rows of time, distance, what, outcome."""
    sagas = operate.quick("sagas", "list", "tiny", "--json").json()
    shown = [operate.quick("sagas", "show", "tiny", saga["id"]).rows[2:] for saga in sagas]
    rows = next(rows for rows in shown if any("TooHeavy" in row[-1] for row in rows))

    assert [row[2].split()[0] for row in rows] == ["start", "1", "end"]
    assert rows[0][3] == '{"note":"heavy","kg":40}'
    assert rows[1][2:] == ["1 call Pack.v1", 'TooHeavy {"kg":40}']
    assert all(row[1].startswith("+") and row[1].endswith(" ms") for row in rows)


def test_only_a_parked_saga_is_retried(operate: Cli) -> None:
    """Retrying what has completed is refused: nothing is wrong with the id, so exit 1."""
    done = operate.quick("sagas", "list", "tiny", "--state", "completed").rows[0][0]

    refused = operate.quick("sagas", "retry", "tiny", done)

    assert refused.code == 1
    assert refused.err == (
        f"holdfast: saga {done} has completed; only a parked one can be retried\n"
    )


def test_dead_letters_are_listed_shown_and_tried_on_paper(operate: Cli) -> None:
    """A dry replay changes nothing."""
    name, service, sender, kind, *_, error = operate.quick("dead-letters", "list", "tiny").rows[0]
    document = operate.quick("dead-letters", "show", "tiny", name, "--json").json()
    shown = operate.quick("dead-letters", "show", "tiny", name)
    dry = operate.quick("dead-letters", "replay", "tiny", name, "--dry")

    assert (service, sender, kind) == ("shed", "shed", "Announce.v1")
    assert document["body"] == {"text": "all is well"}
    assert [line for line in document["error"].splitlines() if line[0] != " "][-1] == error
    assert re.match(r"try \d at 20\d\d-\d\d-\d\dT[\d:.]+\+00:00: ", error)
    assert re.search(r"(?m)^    at /.*/tiny\.py:\d+ in announce$", document["error"])
    assert shown.out.startswith(f"Announce.v1 {name}\n")
    assert '{"text":"all is well"}' in shown.out
    assert "run in shed with tries from 0" in dry.out
    assert len(operate.quick("dead-letters", "list", "tiny").rows) == 1


@pytest.mark.parametrize(("verb", "line"), [("replay", "is due again in"), ("drop", "was dropped")])
def test_a_dead_letter_is_replayed_or_dropped(operate: Cli, verb: str, line: str) -> None:
    """Either way it is one line, and the letter is not dead any more."""
    name = operate.quick("dead-letters", "list", "tiny").rows[0][0]

    done = operate.quick("dead-letters", verb, "tiny", name)

    assert done.code == 0
    assert done.out.startswith(f"Announce.v1 {name} {line}")
    assert len(done.out.splitlines()) == 1


def test_a_parked_saga_is_cancelled(operate: Cli) -> None:
    """It ends as failed, whether the system runs or not; what has ended is refused."""
    name = operate.quick("sagas", "list", "tiny", "--state", "parked").rows[0][0]
    done = operate.quick("sagas", "cancel", "tiny", name)
    again = operate.quick("sagas", "cancel", "tiny", name)
    shown = operate.quick("sagas", "list", "tiny", "--state", "failed").rows[0]

    assert (done.code, done.out) == (0, f"deliver {name} is failed\n")
    assert (shown[0], shown[-1]) == (name, "cancelled by an operator")
    assert again.code == 1
    assert again.err == f"holdfast: saga {name} has failed; only one under way can be cancelled\n"


def test_letters_are_tried_now(operate: Cli) -> None:
    """One of three ways must be given; nothing waits here."""
    nothing = operate.quick("letters", "retry-now", "tiny", "--all")
    to = operate.quick("letters", "retry-now", "tiny", "--to", "shed", "--json")
    neither = operate.quick("letters", "retry-now", "tiny")
    both = operate.quick("letters", "retry-now", "tiny", "--all", "--to", "shed")

    assert (nothing.code, nothing.out) == (0, "0 letters due now\n")
    assert to.json() == {"due_now": 0}
    assert neither.code == both.code == 2
    assert neither.err == "holdfast: give the ID of a letter, or --to SERVICE, or --all\n"


def test_an_event_is_sent_by_hand(operate: Cli) -> None:
    """As if its service had published it."""
    sent = operate.quick("send", "tiny", "Closed", '{"why": "snow"}')

    assert (sent.code, sent.out) == (0, "Closed is published by shed, for desk\n")


WRONG = [
    (["sagas", "show", "tiny", NOBODY], f"there is no saga {NOBODY}"),
    (["sagas", "retry", "tiny", NOBODY], f"there is no saga {NOBODY}"),
    (["sagas", "show", "tiny", "7"], "'7' is not the id of a saga"),
    (["dead-letters", "show", "tiny", NOBODY], f"there is no dead letter {NOBODY}"),
    (["dead-letters", "replay", "tiny", NOBODY], f"there is no dead letter {NOBODY}"),
    (["dead-letters", "drop", "tiny", "x"], "'x' is not the id of a dead letter"),
    (["send", "tiny", "Fly", "{}"], "there is no command or event 'Fly' here; there are"),
    (["sagas", "cancel", "tiny", NOBODY], f"there is no saga {NOBODY}"),
    (["letters", "retry-now", "tiny", NOBODY], f"no letter {NOBODY} waits for a later time"),
    (["letters", "retry-now", "tiny", "--to", "sky"], "there is no service 'sky'; there are desk"),
    (["send", "tiny", "Pack", "{}"], "Pack: kg: Field required"),
    (["send", "tiny", "Pack", "{"], "Pack: the body: Invalid JSON: "),
    (["send", "tiny", "Pack", '{"kg":1,"lb":2}'], "Pack: lb: Extra inputs are not permitted"),
]


def test_what_does_not_exist_is_one_line(cli: Cli, serve: Callable[..., Server]) -> None:
    """An unknown id or message and a bad body are exit 2, with and without a running process."""
    server = serve("run", "tiny")
    running = [cli.quick(*arguments) for arguments, _ in WRONG]
    server.stop()
    stopped = [cli.quick(*arguments) for arguments, _ in WRONG]

    lines = [f"holdfast: {line}" for _, line in WRONG]
    for done, line in zip([*running, *stopped], lines * 2, strict=True):
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(line)
        assert len(done.err.splitlines()) == 1


def test_a_command_sent_to_a_stopped_system_is_handled_when_it_runs(
    cli: Cli, serve: Callable[..., Server], rude: str
) -> None:
    """It is in the inbox when `send` returns, and survives until somebody handles it."""
    serve("run", "tiny").stop()
    sent = cli.quick("send", "tiny", "Announce", '{"text": "hello"}', "--json")
    waiting = cli.quick("dead-letters", "list", "tiny", "--json").json()

    serve("run", "tiny", environ={"FAX_URL": rude})
    while not (dead := cli.quick("dead-letters", "list", "tiny", "--json").json()):
        pass  # the test's time-out is the bound

    assert sent.json()["service"] == "shed"
    assert waiting == []
    assert [letter["id"] for letter in dead] == [sent.json()["letter"]]


def _states(cli: Cli) -> list[Any]:
    return [saga["state"] for saga in cli.quick("sagas", "list", "tiny", "--json").json()]
