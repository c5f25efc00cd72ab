"""The rendered scripts deploy, fail and go back, by the real helm and kubectl on a stand-in."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.delivery import write
from holdfast.delivery.images import LOCK
from holdfast.delivery.parts import render, rendering_of
from shop.system import shop
from tests.delivery.api_server.server import ApiServer, api_server
from tests.delivery.judges.conftest import FIRST
from tests.delivery.judges.objects import objects_of
from tests.delivery.judges.programs import helm, kubectl
from tests.delivery.judges.schemas import MINORS, schema_problems, validators

pytestmark = pytest.mark.deploy

SECOND, THIRD = f"sha256:{'2' * 64}", f"sha256:{'3' * 64}"
SPACE = shop.deploy.namespace or shop.name


class Release:
    """A rendered folder, a cluster, and whoever runs the scripts."""

    def __init__(self, folder: Path, server: ApiServer) -> None:
        self.folder, self.server = folder, server
        programs = folder.parent / "programs"
        programs.mkdir()
        (programs / "helm").symlink_to(helm())
        (programs / "kubectl").symlink_to(kubectl())
        self.environ = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder.parent),
            "KUBECONFIG": str(server.kubeconfig(folder.parent)),
        }
        self.run("kubectl", "apply", "--server-side", "-f", self.manifest("namespace"))

    def manifest(self, name: str) -> str:
        """Return the path of one manifest of production."""
        return str(self.folder / "kubernetes" / "production" / f"{name}.yaml")

    def run(self, *words: str, given: str = "") -> tuple[int, str]:
        """Run a program or a script as a person would; return its exit code and its errors."""
        done = subprocess.run(
            words,
            cwd=self.folder.parent,
            env=self.environ,
            input=given.encode(),
            capture_output=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stderr.decode()

    def script(self, name: str, *arguments: str) -> tuple[int, str]:
        """Run a script of the pipeline."""
        return self.run(str(self.folder / "ci" / f"{name}.sh"), *arguments)

    def lock(self, digest: str) -> None:
        """Render with another digest of the shop's own image in production."""
        file = self.folder / LOCK
        lines = file.read_text().splitlines(keepends=True)
        file.write_text(
            "".join(f'production = "{digest}"\n' if "production" in one else one for one in lines)
        )
        write(render(rendering_of(shop, self.folder, typed="shop")), self.folder)

    def running(self) -> set[str]:
        """Return the digests that the shop's own deployments run."""
        return {
            box["image"].rpartition("@")[2]
            for item in self.server.objects("deployments", SPACE).values()
            for box in item["spec"]["template"]["spec"]["containers"]
            if f"/{shop.name}@" in box["image"]
        }


@pytest.fixture
def release(deploy: Path, tmp_path: Path) -> Iterator[Release]:
    """What was rendered, and a cluster that has the namespace."""
    folder = Path(shutil.copytree(deploy, tmp_path / "deploy"))
    with api_server(
        custom=list(validators()), judge=lambda item: schema_problems(item, MINORS[-1])
    ) as server:
        yield Release(folder, server)


def test_helm_deploys_and_goes_back(release: Release) -> None:
    """A second digest replaces the first, and a rollback brings the first again."""
    code, said = release.script("deploy", "helm", "production")
    assert code == 0, said
    assert release.running() == {FIRST}
    release.lock(SECOND)
    assert release.script("deploy", "helm", "production")[0] == 0
    assert release.running() == {SECOND}

    code, said = release.script("rollback", "helm", "production")

    assert code == 0, said
    assert release.running() == {FIRST}


def test_what_helm_has_deployed_is_the_manifests(release: Release) -> None:
    """Object by object; so nothing is lost between the chart and the cluster."""
    assert release.script("deploy", "helm", "production")[0] == 0

    kinds = ("Deployment", "StatefulSet", "NetworkPolicy", "ConfigMap", "ScaledObject", "HTTPRoute")
    for item in objects_of(release.folder / "kubernetes" / "production"):
        if item["kind"] in kinds:
            key = [k for k in release.server.store.objects if k[2] == item["metadata"]["name"]]
            found = [release.server.store.get(one) for one in key]
            same = [one for one in found if one["kind"] == item["kind"]]
            assert [one.get("spec") for one in same] == [item.get("spec")], item["metadata"]["name"]
            assert [one.get("data") for one in same] == [item.get("data")], item["metadata"]["name"]


def test_a_release_that_is_not_well_fails_and_goes_back(release: Release) -> None:
    """The script says what to look at; going back passes over what failed."""
    assert release.script("deploy", "helm", "production")[0] == 0
    release.lock(THIRD)
    release.server.store.never_ready.add(THIRD)

    code, said = release.script("deploy", "helm", "production")

    assert code == 1 and "the release is not well" in said
    code, said = release.script("rollback", "helm", "production")
    assert code == 0, said
    assert release.running() == {FIRST}


CHANGED = f"""
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: orders, namespace: {SPACE}}}
spec: {{maxUnavailable: 2}}
"""


@pytest.mark.parametrize("mode", ["helm", "kubectl"])
def test_what_somebody_else_changed_stops_a_deployment(release: Release, mode: str) -> None:
    """The server answers 409; the script says what that is, and that nothing was taken over."""
    assert release.script("deploy", mode, "production")[0] == 0
    apply = ("kubectl", "apply", "--server-side", "--field-manager=somebody", "--force-conflicts")
    code, said = release.run(*apply, "-f", "-", given=CHANGED)
    assert code == 0, said

    code, said = release.script("deploy", mode, "production")

    assert code == 1 and "somebody else has changed fields" in said
    assert "maxUnavailable" in said
    budget = release.server.objects("poddisruptionbudgets", SPACE)["orders"]
    assert budget["spec"]["maxUnavailable"] == 2


def test_kubectl_deploys_after_the_migration(release: Release) -> None:
    """The Job is made and waited for before any process is replaced; twice is once."""
    code, said = release.script("deploy", "kubectl", "production")
    assert code == 0, said
    assert release.running() == {FIRST}

    asked = release.server.requests
    jobs = [at for at, one in enumerate(asked) if one.startswith("PATCH") and "/jobs/" in one]
    services = [at for at, one in enumerate(asked) if one.startswith("PATCH") and "/orders?" in one]
    assert jobs and jobs[0] < min(at for at in services if "/deployments/" in asked[at])
    code, said = release.script("deploy", "kubectl", "production")
    assert code == 0, said


def test_a_migration_that_fails_stops_a_deployment(release: Release) -> None:
    """What runs stays as it is, and nobody waits for a Job that has ended."""
    assert release.script("deploy", "kubectl", "production")[0] == 0
    release.lock(THIRD)
    release.server.store.never_ready.add(THIRD)

    code, said = release.script("deploy", "kubectl", "production")

    assert code == 1 and "the migration" in said
    assert release.running() == {FIRST}
