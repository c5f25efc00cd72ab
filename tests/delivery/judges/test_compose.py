"""Compose, as it is rendered for the shop: every judge accepts it, and the files that it mounts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.contract.spiffe import MONITORING, NATS
from holdfast.delivery import write
from holdfast.delivery.identities import IDENTITY
from holdfast.delivery.parts import RenderedPart, render, rendering_of
from holdfast.engines.machine import MachineClock
from holdfast.runtime.local_authority import LocalAuthority
from shop.system import shop
from tests.delivery import tools
from tests.delivery.judges.compose import compose_problems
from tests.delivery.judges.programs import program, run
from tests.delivery.judges.scanners import matched
from tests.delivery.judges.spelling import spelling_problems

pytestmark = pytest.mark.deploy


@pytest.fixture(scope="module")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, and what it mounts."""
    folder = tmp_path_factory.mktemp("deploy")
    parts = (RenderedPart.COMPOSE, RenderedPart.OBSERVABILITY)
    write(render(rendering_of(shop, folder, typed="shop"), parts), folder)
    return folder


def test_the_file_is_accepted(deploy: Path) -> None:
    """By Compose's own schema, and by the checks of what that leaves green."""
    file = deploy / "compose" / "compose.yml"

    assert matched(file, "vendor.compose-spec") == []
    assert compose_problems(file) == []
    for each in (deploy / "compose").rglob("*.yml"):
        assert spelling_problems(each.read_text()) == []


def test_nats_reads_its_configuration(deploy: Path, tmp_path: Path) -> None:
    """The server itself says so."""
    text = (deploy / "compose" / "nats.conf").read_text()
    files = LocalAuthority(tmp_path / "identities", shop.name, MachineClock()).issue(NATS)
    text = text.replace(IDENTITY, str(files.certificate.parent))
    (tmp_path / "nats.conf").write_text(text.replace("/data", str(tmp_path)))

    code, said = run(program("nats-server"), "-t", "-c", tmp_path / "nats.conf")

    assert code == 0, said


def test_prometheus_reads_its_configuration(deploy: Path, tmp_path: Path) -> None:
    """With the rules and the certificate where they are mounted."""
    shutil.copytree(deploy / "observability" / "prometheus" / "rules", tmp_path / "rules")
    text = (deploy / "compose" / "prometheus" / "prometheus.yml").read_text()
    files = LocalAuthority(tmp_path / "identities", shop.name, MachineClock()).issue(MONITORING)
    text = text.replace(IDENTITY, str(files.certificate.parent))
    (tmp_path / "prometheus.yml").write_text(text)

    code, said = tools.run("promtool", "check", "config", "prometheus.yml", within=tmp_path)

    assert code == 0, said
    assert "2 rule files found" in said


def test_what_it_says_runs(deploy: Path) -> None:
    """Servers, migration, processes and stand-in, each at its name: an order is confirmed.

    Without Docker: from their wheels instead of their images, in a network of their own.
    """
    assert os.geteuid() == 0, "it needs root: run `sudo make deploy-test`"
    subprocess.run([deploy / "compose" / "secrets.sh"], check=True, stdout=subprocess.DEVNULL)
    words = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork"]
    words += ["--kill-child", sys.executable, "-m", "tests.delivery.compose_machine"]

    done = subprocess.run(
        [*words, deploy / "compose"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()[-3000:]
    found = json.loads(done.stdout)
    assert found["order"] == "confirmed"
    assert set(found["codes"].values()) == {0}
    assert found["alone"] == [], "they do not count in Redis"
    assert {"gateway", "orders", "processor"} <= set(found["codes"])
