"""A real Prometheus scrapes the shop, and evaluates the rules that were rendered for it."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from holdfast import Slo, System
from holdfast.delivery import observability, write
from holdfast.delivery.canary import share_of
from holdfast.delivery.indicators import indicators_of
from holdfast.delivery.objective_rules import recorded_names
from holdfast.delivery.parts import RenderedPart, render, rendering_of
from holdfast.delivery.promql import names_in
from holdfast.observability import catalogue
from holdfast.runtime.children import free_port
from holdfast.testing import Client, Running, running
from shop.system import shop
from tests.delivery.tools import tool

pytestmark = pytest.mark.rules

PROMISED = replace(shop, slo=Slo(settled_s=1, latency_ms=60_000))
"""The shop, whose orders settle within a second or are late; how fast it answers is no matter."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running server, and the names in what was rendered for it."""

    client: Client
    url: str
    names: frozenset[str]

    async def until(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """Ask until an answer is as wanted; the test's time-out is the bound."""
        while True:
            answer = await self.client.get(f"/api/v1/{path}")
            found = answer.json()["data"]
            if holds(found):
                return found
            await asyncio.sleep(0.2)

    async def asked(self, query: str) -> list[float]:
        """Return the values that a query gives."""
        answer = await self.client.get(f"/api/v1/query?query={quote(query)}")
        return [float(each["value"][1]) for each in answer.json()["data"]["result"]]

    async def firing(self, severity: str) -> set[str]:
        """Return the names of the alerts of a severity that fire."""
        found = (await self.client.get("/api/v1/alerts")).json()["data"]["alerts"]
        return {
            alert["labels"]["alertname"]
            for alert in found
            if alert["state"] == "firing" and alert["labels"]["severity"] == severity
        }


OF_OTHERS = {
    metric.name
    for metric in (
        *(catalogue.CERTIFICATE_EXPIRES, catalogue.PEERS_REFUSED, catalogue.CERTIFICATE_TROUBLE),
        *(catalogue.HANDSHAKES_FAILED, catalogue.SIGNER_EXPIRES),
        catalogue.TRANSACTION_TOKENS_REFUSED,
        *(catalogue.REQUESTS_REFUSED_INSIDE, catalogue.PARCELS_LOST),
    )
}
"""What a process without an identity does not show, and what the provisioner alone does."""
SETTLED = [each for each in indicators_of(PROMISED) if each.sli == "settlement"]


async def checked(seen: Prometheus, folder: Path) -> tuple[int, str]:
    """Run the check that follows a deployment; return its exit code and what it says."""
    write(render(rendering_of(PROMISED, folder, typed="shop"), (RenderedPart.CI,)), folder)
    script = folder / "ci" / "slo-check.sh"
    done = await asyncio.create_subprocess_exec(
        script, seen.url, "0", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await done.communicate()
    return done.returncode or 0, said.decode()


@asynccontextmanager
async def prometheus(system: System, ops_url: str, folder: Path) -> AsyncIterator[Prometheus]:
    """Run one with the rendered rules as they are, but that it looks each second."""
    files = observability(system, typed="shop")
    write(files, folder)
    home = folder / "observability" / "prometheus"
    for file in (home / "prometheus.yml", *home.glob("rules/*.yml")):
        text = file.read_text()
        for interval in ("15s", "30s", "5m"):
            text = text.replace(f'interval: "{interval}"', 'interval: "1s"')
        file.write_text(text)
    (home / "targets" / "local.yml").write_text(
        yaml.safe_dump([{"targets": [ops_url.removeprefix("http://")]}])
    )
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={home / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    client = Client(url)
    rules = [yaml.safe_load(f.read_text()) for f in home.glob("rules/*.yml")]
    boards = [yaml.safe_load(text) for path, text in files.items() if path.endswith(".json")]
    expressions = [rule["expr"] for d in rules for group in d["groups"] for rule in group["rules"]]
    expressions += [t["expr"] for d in boards for panel in d["panels"] for t in panel["targets"]]
    names = {name for expression in expressions for name in names_in(expression)}
    try:
        await ready(client, process, folder / "log")
        yield Prometheus(client, url, frozenset(names - OF_OTHERS))
    finally:
        await client.close()
        process.terminate()
        process.wait()


async def ready(client: Client, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it answers."""
    while True:
        assert process.poll() is None, log.read_text()
        try:
            if (await client.get("/-/ready")).status == 200:
                return
        except Exception:  # it does not listen yet
            pass
        await asyncio.sleep(0.05)


async def customer(run: Running) -> dict[str, str]:
    """Open an account and log in; return the headers of its requests."""
    who = {"email": "ada@example.com", "password": "analytical"}
    await run.client.post("/v1/users", json={**who, "name": "Ada"})
    token = (await run.client.post("/v1/tokens", json=who)).json()["access_token"]
    return {"authorization": f"Bearer {token}"}


async def order(run: Running, headers: dict[str, str], card: str) -> None:
    """Place an order."""
    wanted = {"lines": [{"sku": "LANTERN", "quantity": 1}], "card": card}
    answer = await run.client.post("/v1/orders", json=wanted, headers=headers)
    assert answer.status == 202


async def test_whoever_breaks_payments_is_paged(tmp_path: Path) -> None:
    """Every series that rules and dashboards name is there; nothing pages before it is broken."""
    async with (
        running(PROMISED) as run,
        prometheus(PROMISED, run.process.ops_url, tmp_path) as seen,
    ):
        await seen.until("label/__name__/values", lambda names: "up" in names)
        headers = await customer(run)  # whose requests are seen to be counted
        await seen.until("label/__name__/values", seen.names.issubset)
        before = await seen.firing("page")
        kept = await checked(seen, tmp_path)

        for _ in range(8):
            await order(run, headers, "tok_silent_before")  # the processor's answer never comes
        await seen.until(
            "alerts",
            lambda found: any(
                alert["labels"]["alertname"] == "SettlementBudgetBurn"
                and alert["labels"]["severity"] == "page"
                and alert["state"] == "firing"
                for alert in found["alerts"]
            ),
        )
        after = await seen.firing("page")
        broken = await checked(seen, tmp_path)
        shares = {each.objective.name: await seen.asked(share_of(each)) for each in SETTLED}

    assert kept[0] == 0, kept
    assert kept[1].count("\n") == len(list(indicators_of(PROMISED)))
    assert broken[0] == 1
    assert re.search(r"orders checkout: settlement: \d+ of \d+ went wrong in 5m", broken[1])
    assert shares == {"orders checkout": [pytest.approx(1.0, abs=0.5)]}
    assert set(recorded_names()) <= seen.names
    assert before == set()
    assert after == {"SettlementBudgetBurn"}


async def test_a_gateway_that_is_gone_is_told(tmp_path: Path) -> None:
    """Where nothing answers any more no other page hides it."""
    nobody = f"http://127.0.0.1:{free_port()}"
    async with prometheus(shop, nobody, tmp_path) as seen:
        found = await seen.until(
            "alerts",
            lambda found: any(
                alert["labels"]["alertname"] == "GatewayAbsent" for alert in found["alerts"]
            ),
        )

    assert {alert["labels"]["alertname"] for alert in found["alerts"]} <= {
        "GatewayAbsent",
        "TargetDown",
    }
