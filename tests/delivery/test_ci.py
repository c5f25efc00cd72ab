"""The workflow follows from the declaration: its environments in order, its registry, its pins."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast import Deploy, Environment, Service, System
from holdfast.delivery.actions import ACTIONS
from holdfast.delivery.files import MARK, Files
from holdfast.delivery.parts import RenderedPart, render, rendering_of
from shop.system import shop

NIGHT = System(
    "night",
    [Service("reports")],
    deploy=Deploy(
        registry="registry.example.com/team",
        environments=[Environment("eu-live", host="night.example.com")],
    ),
)


def rendered(system: System, folder: Path) -> Files:
    """Return what the part is for a system."""
    return render(rendering_of(system, folder, typed=system.name), (RenderedPart.CI,))


def jobs(system: System, folder: Path) -> dict[str, Any]:
    """Return the jobs of its workflow."""
    text = rendered(system, folder)[f"ci/github/{system.name}.yml"]
    found: dict[str, Any] = yaml.safe_load(text)["jobs"]
    return found


def before(name: str, within: dict[str, Any]) -> set[str]:
    """Return all jobs that have to go well before one begins."""
    needs = within[name].get("needs", [])
    direct = {needs} if isinstance(needs, str) else set(needs)
    return direct | {other for one in direct for other in before(one, within)}


def test_a_release_passes_every_stage_and_environment_in_order(tmp_path: Path) -> None:
    """Production comes after staging was watched; going back needs what was deployed."""
    found = jobs(shop, tmp_path)

    assert list(found) == [
        *("test", "build", "scan", "sign", "verify"),
        *("deploy-staging", "check-staging", "roll-back-staging"),
        *("deploy-production", "check-production", "roll-back-production"),
    ]
    assert before("deploy-staging", found) == {"test", "build", "scan", "sign", "verify"}
    assert before("deploy-production", found) >= {"check-staging", "deploy-staging", "verify"}
    assert found["roll-back-production"]["needs"] == ["deploy-production", "check-production"]
    assert found["roll-back-production"]["if"] == (
        "always() && needs.deploy-production.result == 'success' "
        "&& needs.check-production.result != 'success'"
    )
    environment = found["deploy-production"]["environment"]
    assert environment == {"name": "production", "url": "https://shop.example.com"}


def test_only_what_it_needs_may_a_job_do(tmp_path: Path) -> None:
    """Nothing above all jobs; who scans cannot sign; no expression is inside a script."""
    text = rendered(shop, tmp_path)["ci/github/shop.yml"]
    found = jobs(shop, tmp_path)

    assert "\npermissions: {}\n" in text
    assert "secrets." not in text
    writes = {
        name: sorted(what for what, may in job["permissions"].items() if may == "write")
        for name, job in found.items()
    }
    assert {name: what for name, what in writes.items() if what} == {
        "build": ["packages"],
        "sign": ["attestations", "id-token", "packages"],
        "deploy-staging": ["contents"],
        "roll-back-staging": ["contents"],
        "deploy-production": ["contents"],
        "roll-back-production": ["contents"],
    }
    for job in found.values():
        assert job["timeout-minutes"] <= 30
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_actions_are_pinned_by_commit(tmp_path: Path) -> None:
    """With the release beside it, as the table says; each of the table is used by someone."""
    texts = [
        rendered(replace(shop, deploy=replace(shop.deploy, registry=registry)), tmp_path)
        for registry in REGISTRIES
    ]
    used = {
        line for files in texts for line in re.findall(r"uses: (.+)", files["ci/github/shop.yml"])
    }

    assert used == {f"{name}@{pin.commit} # {pin.version}" for name, pin in ACTIONS.items()}
    assert all(re.fullmatch(r"[0-9a-f]{40}", pin.commit) for pin in ACTIONS.values())


REGISTRIES = {
    "ghcr.io/example": ("docker/login-action", "packages"),
    "123456789012.dkr.ecr.eu-central-1.amazonaws.com": (
        "aws-actions/configure-aws-credentials",
        "id-token",
    ),
    "europe-west3-docker.pkg.dev/project/team": ("google-github-actions/auth", "id-token"),
}


@pytest.mark.parametrize("registry", REGISTRIES)
def test_a_registry_is_entered_by_identity(registry: str, tmp_path: Path) -> None:
    """GitHub's own, AWS's and Google's: no password is kept anywhere."""
    action, permission = REGISTRIES[registry]
    system = replace(shop, deploy=replace(shop.deploy, registry=registry))
    text = rendered(system, tmp_path)["ci/github/shop.yml"]
    found = jobs(system, tmp_path)

    assert "secrets." not in text
    assert yaml.safe_load(text)["env"] == {"IMAGE": f"{registry}/shop"}
    for name in ("build", "scan", "sign", "verify"):
        assert action in str(found[name]["steps"])
        assert permission in found[name]["permissions"]


def test_another_registry_keeps_its_password_in_an_environment(tmp_path: Path) -> None:
    """Of its own, so that no other job sees it."""
    found = jobs(NIGHT, tmp_path)

    with_password = [name for name, job in found.items() if "secrets." in str(job)]
    assert with_password == ["build", "scan", "sign", "verify"]
    assert all(found[name]["environment"] == "registry" for name in with_password)
    assert found["scan"]["permissions"] == {}


def test_an_environment_s_name_is_fit_for_a_variable(tmp_path: Path) -> None:
    """`eu-live` is asked for as EU_LIVE; its branch has the name as it is."""
    found = jobs(NIGHT, tmp_path)

    env = found["check-eu-live"]["steps"][-1]["env"]
    assert env == {"PROMETHEUS_URL": "${{ vars.PROMETHEUS_URL_EU_LIVE }}"}
    assert "deploy.sh git eu-live" in found["deploy-eu-live"]["steps"][-1]["run"]


def test_every_file_says_what_it_is_from(tmp_path: Path) -> None:
    """A script begins with its interpreter, and can be executed."""
    for path, text in rendered(shop, tmp_path).items():
        first, second, *_ = text.split("\n")
        assert MARK in (second if path.endswith(".sh") else first)
        assert first.startswith("#!") == path.endswith(".sh")
