"""What is typed wrong gets one clear line and exit code 2; what is declared wrong, a list and 1."""

from importlib.metadata import version

import pytest

from tests.cli.conftest import Cli

WRONG = """
from holdfast import Command, Gateway, Saga, Service, System, Tx, Model

class Pack(Command[None]):
    kg: int

class Parcel(Model):
    kg: int

desk = Service("desk")

@desk.saga
async def deliver(saga: Saga, parcel: Parcel) -> None:
    await saga.call(Pack(kg=1))

@desk.post("/v1/parcels", public=True)
def take(body: Parcel, tx: Tx) -> Parcel:
    return body

wrong = System("wrong", services=[desk])
"""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["graph", "nowhere"], "there is no system 'nowhere': neither nowhere.system nor nowhere"),
        (["graph", "../tiny"], "'../tiny' is not the name of a system"),
        (["graph", "nowhere:x"], "there is no module 'nowhere'"),
        (["graph", "tiny:giant"], "tiny has no 'giant'; its systems: tiny"),
        (["graph", "tiny:desk"], "tiny has, but not as a System, 'desk'; its systems: tiny"),
        (["graph", "broken"], "broken cannot be imported: ZeroDivisionError: division by zero"),
        (["graph", "garbled"], "garbled cannot be imported: SyntaxError: "),
        (["graph", "needy"], "needy cannot be imported: ModuleNotFoundError: No module named"),
        (["graph", "two"], "two has several systems; say which: two:tiny, two:other"),
        (["serve", "tiny", "attic"], "system 'tiny' has no service 'attic'; it has desk, shed"),
        (["sagas", "list", "tiny"], "there is no data folder .holdfast/tiny; `holdfast run tiny`"),
        (["demo", "tiny"], "tiny has no demo: no function `main` in tiny.demo"),
    ],
)
def test_an_unknown_name_is_one_line(cli: Cli, arguments: list[str], line: str) -> None:
    """The line names what was typed, and there is no traceback."""
    (cli.folder / "broken.py").write_text("x = 1 / 0\n")
    (cli.folder / "garbled.py").write_text("def (:\n")
    (cli.folder / "needy.py").write_text("import no_such_module\n")
    (cli.folder / "two.py").write_text(
        "from tiny import tiny\nfrom holdfast import System\nother = System('other', services=[])\n"
    )

    done = cli.quick(*arguments)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"holdfast: {line}")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["run", "--help"], ["sagas", "--help"], ["dead-letters", "replay", "--help"]],
)
def test_help_says_what_to_type(cli: Cli, arguments: list[str]) -> None:
    """Help is printed for the command and for each of its parts."""
    done = cli.quick(*arguments)

    assert done.code == (0 if arguments else 2)
    assert f"Usage: holdfast {' '.join(arguments[:-1])}".rstrip() in done.out + done.err


def test_every_command_is_listed_and_has_a_file(cli: Cli) -> None:
    """The list in `--help` is the list of commands that can be run."""
    names = ["run", "serve", "check", "graph", "render", "certify", "migrate", "provision"]
    names += ["send", "status", "trace", "logs", "sagas", "audit", "letters", "dead-letters"]
    names += ["sim", "load", "demo"]

    listed = [
        line.split()[0] for line in cli.quick("--help").out.splitlines() if line.startswith("  ")
    ]

    assert listed[-len(names) :] == names
    assert [cli.quick(name, "--help").code for name in names] == [0] * len(names)


def test_an_unknown_command_is_exit_2(cli: Cli) -> None:
    """What is no command, and an option that does not exist, are refused with the usage."""
    dance, port = cli("dance"), cli.quick("run", "tiny", "--port", "70000")

    assert (dance.code, port.code) == (2, 2)
    assert "No such command 'dance'" in dance.err
    assert "Invalid value for '--port'" in port.err


def test_a_right_declaration_is_counted(cli: Cli) -> None:
    """`check` says how much it has looked at."""
    done = cli("check", "tiny")

    assert (done.code, done.out, done.err) == (0, "ok: 2 services, 6 edges\n", "")
    assert cli.quick("check", "tiny", "--json").json() == {"ok": True, "problems": []}


def test_all_problems_of_a_declaration_are_printed(cli: Cli) -> None:
    """`check` prints a line for each and exits 1; `run` refuses to start, with the same lines."""
    (cli.folder / "wrong.py").write_text(WRONG)

    done = cli.quick("check", "wrong")
    as_json = cli.quick("check", "wrong", "--json")
    run = cli.quick("run", "wrong")

    problems = done.out.splitlines()
    assert (done.code, as_json.code, run.code) == (1, 1, 1)
    assert len(problems) >= 2
    assert any("a handler is `async def`" in line for line in problems)
    assert any("add Pack to `calls=" in line for line in problems)
    assert as_json.json() == {"ok": False, "problems": problems}
    assert run.err.splitlines() == [f"holdfast: {line}" for line in problems]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'desk = Service("desk", slo=Slo(avail=0.9))',
            "Slo.__init__() got an unexpected keyword argument 'avail'",
        ),
        (
            'Service("desk").get("/a", pub=True)',
            "Service.get() got an unexpected keyword argument 'pub'",
        ),
        ("Service()", "Service.__init__() missing 1 required positional argument: 'name'"),
    ],
)
def test_an_argument_that_holdfast_does_not_take_is_a_wrong_declaration(
    cli: Cli, line: str, said: str
) -> None:
    """With its place; a mistake in a call of the user's own code is none of these."""
    (cli.folder / "slip.py").write_text(f"from holdfast import Service, Slo\n{line}\n")
    (cli.folder / "own.py").write_text("def slo(): ...\nslo(avail=0.9)\n")

    done, own = cli.quick("check", "slip"), cli.quick("check", "own")

    assert (done.code, own.code) == (1, 2)
    assert done.out.splitlines() == [f"{cli.folder / 'slip.py'}:2: {said}"]
    assert "own cannot be imported: TypeError: slo() got" in own.err


@pytest.mark.parametrize(
    "line",
    [
        'desk.get("/v1/x", tier="vip")(print)',
        'desk.get("/v1/x", hedge=timedelta(0))(print)',
        "opens = datetime.strptime('noon', '%H')",
    ],
)
def test_a_value_that_is_refused_is_found_in_the_users_own_file(cli: Cli, line: str) -> None:
    """The line of the declaration, not that of Holdfast or of the language that refused it."""
    (cli.folder / "slip.py").write_text(
        "from datetime import datetime, timedelta\nfrom holdfast import Service\n"
        f"desk = Service('desk')\n{line}\n"
    )

    done = cli.quick("check", "slip")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("holdfast: slip cannot be imported: ValueError: ")
    assert done.err.endswith(f" ({cli.folder / 'slip.py'}:4)\n")


def test_the_graph_as_lines_json_and_mermaid(cli: Cli) -> None:
    """In a pipe each edge is a tab-separated line without a title."""
    lines, document = cli.quick("graph", "tiny").rows, cli.quick("graph", "tiny", "--json").json()
    mermaid = cli.quick("graph", "tiny", "--mermaid").out

    assert ["desk", "shed", "command", "Pack.v1"] in lines
    assert lines == [list(edge.values()) for edge in document["edges"]]
    assert document["services"] == ["desk", "shed"]
    assert mermaid.startswith("flowchart")
    assert cli.quick("graph", "tiny", "--mermaid", "--json").code == 2


def test_the_version_is_that_of_the_package(cli: Cli) -> None:
    """For a report of a fault; no system is needed."""
    done = cli("--version")

    assert (done.code, done.out) == (0, f"holdfast {version('holdfast')}\n")
