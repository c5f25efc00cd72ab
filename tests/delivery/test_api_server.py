"""The real helm and kubectl against a stand-in of the API server: releases, conflicts, failures."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery.api_server.server import ApiServer, api_server
from tests.delivery.judges.programs import RELEASES, helm, kubectl, run_apart
from tests.delivery.judges.samples import FOLDER, system
from tests.delivery.judges.schemas import MINORS, schema_problems, validators

pytestmark = pytest.mark.deploy

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: greeter
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: greeter}}
  template:
    metadata: {labels: {app: greeter}}
    spec:
      containers:
        - name: greeter
          image: {{ .Values.image }}
"""


class Cluster:
    """The stand-in, and clients of it."""

    def __init__(self, server: ApiServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.more = {"KUBECONFIG": str(server.kubeconfig(folder)), "HOME": str(folder)}

    def helm(self, *words: str, minor: str = max(RELEASES)) -> tuple[int, str, str]:
        """Run helm; return its exit code, output and errors."""
        return run_apart(helm(minor), *words, more=self.more, within=self.folder)

    def kubectl(self, *words: str, given: str = "") -> tuple[int, str, str]:
        """Run kubectl likewise."""
        return run_apart(kubectl(), *words, more=self.more, within=self.folder, given=given)

    def image(self) -> str:
        """Return which image the greeter runs."""
        [box] = self.server.objects("deployments")["greeter"]["spec"]["template"]["spec"][
            "containers"
        ]
        return str(box["image"])

    def statuses(self) -> list[str]:
        """Return the status of each revision of the release."""
        _, said, _ = self.helm("history", "greeter", "--output", "json")
        return [revision["status"] for revision in json.loads(said)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with one namespace, and a chart beside it."""
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: greeter\nversion: 0.1.0\n")
    (chart / "values.yaml").write_text("replicas: 2\nimage: greeter:1\n")
    (chart / "templates" / "deployment.yaml").write_text(DEPLOYMENT)
    with api_server(
        custom=list(validators()), judge=lambda item: schema_problems(item, MINORS[-1])
    ) as server:
        yield Cluster(server, tmp_path)


@pytest.mark.parametrize("minor", RELEASES)
def test_a_release_comes_goes_back_and_goes(cluster: Cluster, minor: str) -> None:
    """Install, upgrade, roll back and uninstall, each waited for; the history has them all."""
    wait = ("--wait", "--timeout", "60s")
    new = ("--set", "image=greeter:2")

    assert cluster.helm("install", "greeter", "chart", *wait, minor=minor)[0] == 0
    assert cluster.image() == "greeter:1"
    assert cluster.helm("upgrade", "greeter", "chart", *new, *wait, minor=minor)[0] == 0
    assert cluster.image() == "greeter:2"
    assert cluster.helm("rollback", "greeter", "1", *wait, minor=minor)[0] == 0
    assert cluster.image() == "greeter:1"
    assert cluster.statuses() == ["superseded", "superseded", "deployed"]
    assert cluster.helm("uninstall", "greeter", *wait, minor=minor)[0] == 0
    assert cluster.server.objects("deployments") == {}


def test_a_release_that_does_not_get_ready_fails(cluster: Cluster) -> None:
    """Helm waits for it, says so, and keeps what came before in its history."""
    assert cluster.helm("install", "greeter", "chart", "--wait", "--timeout", "60s")[0] == 0
    cluster.server.store.never_ready.add("greeter:bad")

    bad = ("--set", "image=greeter:bad", "--wait", "--timeout", "60s")
    code, _, errors = cluster.helm("upgrade", "greeter", "chart", *bad)
    assert code != 0 and "greeter" in errors
    assert cluster.statuses() == ["deployed", "failed"]
    assert cluster.helm("rollback", "greeter", "1", "--wait", "--timeout", "60s")[0] == 0
    assert cluster.image() == "greeter:1"


def test_what_somebody_else_manages_is_a_conflict(cluster: Cluster) -> None:
    """A field that another manager has set is not taken over unless it is forced."""
    assert cluster.helm("install", "greeter", "chart")[0] == 0
    scaled = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: greeter, namespace: default}\n"
        "spec: {replicas: 5}\n"
    )
    apply = ("apply", "--server-side", "--field-manager=scaler", "--filename=-")

    code, _, errors = cluster.kubectl(*apply, given=scaled)
    assert code != 0 and 'conflict with "helm"' in errors and ".spec.replicas" in errors
    assert cluster.kubectl(*apply, "--force-conflicts", given=scaled)[0] == 0
    assert cluster.server.objects("deployments")["greeter"]["spec"]["replicas"] == 5
    code, _, errors = cluster.helm("upgrade", "greeter", "chart", "--set", "replicas=3")
    assert code != 0 and 'conflict with "scaler"' in errors


def test_kubectl_applies_a_whole_system(cluster: Cluster) -> None:
    """Custom kinds too; twice is once, and what is taken out of a manifest goes."""
    code, said, errors = cluster.kubectl("create", "namespace", "argocd")
    assert code == 0, errors
    cluster.kubectl("create", "namespace", "flux-system")
    file = FOLDER / "system.yaml"
    apply = ("apply", "--server-side", f"--filename={file}")

    code, said, errors = cluster.kubectl(*apply)
    assert code == 0, errors
    assert said.count("serverside-applied") == len(system())
    assert cluster.kubectl(*apply)[0] == 0
    status = ("rollout", "status", "deployment/orders", "--namespace=store", "--timeout=30s")
    assert cluster.kubectl(*status)[0] == 0
    _, names, _ = cluster.kubectl("get", "deployments", "--namespace=store", "--output=name")
    assert names.split() == ["deployment.apps/orders", "deployment.apps/stock"]


def test_an_apply_takes_back_what_it_no_longer_says(cluster: Cluster) -> None:
    """A field that its manager leaves out goes; one that another has set stays."""
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    apply = ("apply", "--server-side", "--filename=-")

    assert cluster.kubectl(*apply, given=head + "data: {a: '1', b: '2'}\n")[0] == 0
    other = ("--field-manager=other",)
    assert cluster.kubectl(*apply, *other, given=head + "data: {c: '3'}\n")[0] == 0
    assert cluster.kubectl(*apply, given=head + "data: {b: '2'}\n")[0] == 0
    assert cluster.server.objects("configmaps")["a"]["data"] == {"b": "2", "c": "3"}


@pytest.mark.parametrize(
    ("field", "said"),
    [("spec: {replica: 2}", "replica"), ("spec: {replicas: two}", "replicas")],
)
def test_what_no_schema_has_is_refused(cluster: Cluster, field: str, said: str) -> None:
    """The server judges as strictly as the schemas, whatever the client lets pass."""
    head = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"

    code, _, errors = cluster.kubectl("apply", "--server-side", "--filename=-", given=head + field)
    assert code != 0 and said in errors
    assert cluster.server.objects("deployments") == {}


def test_what_cannot_be_changed_is_refused(cluster: Cluster) -> None:
    """An immutable ConfigMap, the template of a Job, a namespace that is not there."""
    apply = ("apply", "--server-side", "--filename=-")
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nimmutable: true\n"

    assert cluster.kubectl(*apply, given=head + "data: {x: '1'}\n")[0] == 0
    code, _, errors = cluster.kubectl(*apply, given=head + "data: {x: '2'}\n")
    assert code != 0 and "field is immutable" in errors
    nowhere = head.replace("name: a", "name: a, namespace: nowhere")
    code, _, errors = cluster.kubectl(*apply, given=nowhere)
    assert code != 0 and 'namespaces "nowhere" not found' in errors


def test_a_job_is_waited_for(cluster: Cluster) -> None:
    """It ends well or not, and `kubectl wait` sees which."""
    job = (
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: NAME}\nspec:\n  template:\n    spec:\n"
        "      restartPolicy: Never\n      containers: [{name: a, image: 'IMAGE'}]\n"
    )
    apply = ("apply", "--server-side", "--filename=-")
    cluster.server.store.never_ready.add("migrate:bad")
    for name, image in (("good", "migrate:1"), ("bad", "migrate:bad")):
        given = job.replace("NAME", name).replace("IMAGE", image)
        assert cluster.kubectl(*apply, given=given)[0] == 0

    wait = ("wait", "--for=condition=complete", "--timeout=2s")
    assert cluster.kubectl(*wait, "job/good")[0] == 0
    assert cluster.kubectl(*wait, "job/bad")[0] != 0
