"""The check after a deployment, against a server that answers as Prometheus does."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from holdfast.delivery import write
from holdfast.delivery.indicators import indicators_of
from holdfast.delivery.parts import RenderedPart, render, rendering_of
from shop.system import shop

ORDERS = ("orders", "orders", "availability")
PROMISES = [(i.objective.service, i.objective.name, i.sli) for i in indicators_of(shop)]


@dataclass(slots=True)
class Prometheus:
    """Its HTTP API, and what it knows.

    Attributes:
        counted: {(service, slo, sli): (errors, events)} of the last five minutes.
        better: what it knows from the second time on that it is asked.
        aborted: names of Rollouts.
        asked: the headers and the queries that came.
    """

    counted: dict[tuple[str, str, str], tuple[float, float]]
    better: dict[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)
    aborted: list[str] = field(default_factory=list)
    asked: list[tuple[Any, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, query: str) -> list[dict[str, Any]]:
        """Return the vector that a query gives."""
        if "rollout_info" in query:
            return [{"metric": {"name": name}, "value": [0, "1"]} for name in self.aborted]
        found = []
        for (service, slo, sli), numbers in self.counted.items():
            for name, number in zip(("errors", "events"), numbers, strict=True):
                name = f"holdfast_slo:{name}:increase5m"
                if name in query:
                    labels = {"service": service, "slo": slo, "sli": sli, "job": "shop"}
                    metric = {"__name__": name, **labels}
                    found.append({"metric": metric, "value": [0, str(number)]})
        self.counted |= self.better
        return found


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    """One that listens, where everything that is promised is kept."""
    known = Prometheus(dict.fromkeys(PROMISES, (0.0, 1000.0)))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)["query"][0]
            known.asked.append((self.headers, query))
            found = known.answer(query)
            data = {"resultType": "vector", "result": found}
            body = json.dumps({"status": "success", "data": data}).encode()
            self.send_response(200 if url.path == "/api/v1/query" else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        known.url = f"http://127.0.0.1:{server.server_port}/"
        yield known
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script that was rendered for the shop."""
    folder = tmp_path_factory.mktemp("rendered")
    rendering = rendering_of(shop, folder, typed="shop")
    write(render(rendering, (RenderedPart.CI,)), folder)
    return folder / "ci" / "slo-check.sh"


def check(script: Path, *words: str, **environ: str) -> tuple[int, str]:
    """Run it; return its exit code and all that it says."""
    done = subprocess.run(
        [str(script), *words],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_release_that_keeps_its_promises(script: Path, prometheus: Prometheus) -> None:
    """Everything that is promised is named, with what was counted; nobody asking is no error."""
    prometheus.counted[ORDERS] = (0.0, 0.0)

    code, said = check(script, prometheus.url, "0")

    assert code == 0
    assert len(said.splitlines()) == len(PROMISES)
    assert "orders: availability: nobody has asked in 5m" in said
    assert "orders checkout: settlement: 0 of 1000 went wrong in 5m" in said


@pytest.mark.parametrize(
    ("counted", "code"),
    [((14.0, 1000.0), 0), ((15.0, 1000.0), 1), ((4.9, 5.0), 0), ((5.0, 5.0), 1)],
)
def test_a_release_is_held_to_the_factor_of_a_page(
    script: Path, prometheus: Prometheus, counted: tuple[float, float], code: int
) -> None:
    """14.4 times the budget of 99.9 %, and five errors at least."""
    prometheus.counted[ORDERS] = counted

    found, said = check(script, prometheus.url, "0")

    assert found == code
    bad = "orders: availability" in said and "more than 1.44 % would wake somebody" in said
    assert bad == bool(code)


def test_it_goes_on_until_the_end(script: Path, prometheus: Prometheus) -> None:
    """A release that turns bad is found out, and at once, however long it was to be watched."""
    prometheus.better[ORDERS] = (500.0, 1000.0)

    code, said = check(script, prometheus.url, "3600", "0")

    assert code == 1
    assert "the release breaks what is promised" in said


def test_what_is_not_recorded_is_no_success(script: Path, prometheus: Prometheus) -> None:
    """An empty answer is what a wrong address and a release that does not start look like."""
    del prometheus.counted[ORDERS]

    code, said = check(script, prometheus.url, "0")

    assert code == 1
    assert "orders: availability is not recorded" in said
    assert "look whether" in said and "scrapes the job shop" in said


def test_what_is_recorded_late_is_waited_for(script: Path, prometheus: Prometheus) -> None:
    """The first pods of a system have no series yet; what counts is the end."""
    prometheus.better = dict(prometheus.counted)
    prometheus.counted = {}

    code, said = check(script, prometheus.url, "1", "1")

    assert code == 0, said


def test_an_aborted_rollout_is_bad(script: Path, prometheus: Prometheus) -> None:
    """It went back by itself, and Git is ahead of it: the pipeline has to follow."""
    prometheus.aborted = ["orders"]

    code, said = check(script, prometheus.url, "0")

    assert code == 1
    assert "the Rollout orders is degraded" in said


def test_nobody_answers(script: Path, prometheus: Prometheus) -> None:
    """Neither at another path nor at another port; what does not answer knows nothing."""
    elsewhere = f"{prometheus.url}prefix"

    for words in ((elsewhere, "0"), ("--reach", elsewhere), ("--reach", "http://127.0.0.1:1")):
        code, said = check(script, *words)

        assert code == 1
        assert "Prometheus does not answer at" in said
    assert check(script, "--reach", prometheus.url) == (0, "")


def test_a_token_is_sent(script: Path, prometheus: Prometheus) -> None:
    """To a Prometheus behind a proxy that asks for one; never as an argument of a process."""
    check(script, prometheus.url, "0")
    check(script, prometheus.url, "0", PROMETHEUS_TOKEN="ey.J")

    sent = [headers["authorization"] for headers, _ in prometheus.asked]
    assert sent == [None, None, "Bearer ey.J", "Bearer ey.J"]
