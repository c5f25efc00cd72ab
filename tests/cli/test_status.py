"""`holdfast status`: of the processes of a data folder, and of an address."""

from collections.abc import Callable

from tests.cli.conftest import Cli, Server


def test_the_live_graph_of_a_running_system(cli: Cli, serve: Callable[..., Server]) -> None:
    """From its folder, and from its operations port: the same services and edges."""
    server = serve("run", "tiny")
    assert server.post("/v1/parcels", {"note": "a"}) == 202
    [ops] = [line.split()[1] for line in server.greeting if line.startswith("  operations")]
    here = cli.quick("status", "tiny", "--json", "--every", "0.2").json()
    there = cli.quick("status", "tiny", "--json", "--every", "0.2", "--data", "x", "--ops", ops)
    table = cli("status", "tiny", "--once", "--every", "0.2", COLUMNS="200")

    assert [(s["name"], s["state"], s["processes"]) for s in here["services"]] == [
        ("desk", "ready", 1),
        ("shed", "ready", 1),
    ]
    assert there.json()["services"] == here["services"]
    assert {e["message"] for e in here["edges"]} >= {"POST /v1/parcels", "Pack.v1", "Unpack.v1"}
    [route] = [e for e in here["edges"] if e["message"] == "POST /v1/parcels"]
    assert route["rate"] >= 0
    assert here["services"][0]["budget"] is not None
    assert "desk → shed" in table.out
    assert (table.code, table.err) == (0, "")


def test_nobody_answers(cli: Cli) -> None:
    """One line, and exit code 2; nothing is made."""
    done = cli.quick("status", "tiny", "--once", "--every", "0.2")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("holdfast: no process of tiny answers, of .holdfast/tiny; ")
    assert not (cli.folder / ".holdfast").exists()


def test_metrics_are_for_operators_where_processes_have_identities(
    cli: Cli, serve: Callable[..., Server]
) -> None:
    """The certificate is in the data folder; without it the process is ready, and says no more."""
    server = serve("run", "tiny", "--on", "nats")
    assert server.post("/v1/parcels", {"note": "a"}) == 202
    [ops] = [line.split()[1] for line in server.greeting if line.startswith("  operations")]
    looked = ("status", "tiny", "--json", "--every", "0.2", "--ops", ops)
    files = cli.folder / ".holdfast" / "tiny" / "identities" / "operator"
    environ = {
        "HOLDFAST_CERT": str(files / "tls.crt"),
        "HOLDFAST_KEY": str(files / "tls.key"),
        "HOLDFAST_CA": str(files / "ca.crt"),
    }
    named = cli(*looked, "--data", "x", **environ).json()
    found = cli.quick(*looked).json()
    stranger = cli.quick(*looked, "--data", "x")

    assert ops.startswith("https://")
    for graph in (named, found):
        assert "POST /v1/parcels" in {edge["message"] for edge in graph["edges"]}
        assert [service["processes"] for service in graph["services"]] != [0, 0]
    assert stranger.err.startswith("holdfast: no process of tiny answers")
