"""Scanners and schemas: each accepts the sample, and refuses what is broken on purpose."""

from pathlib import Path

import pytest

from tests.delivery.judges.compose import compose_problems
from tests.delivery.judges.samples import FOLDER
from tests.delivery.judges.scanners import (
    audited,
    checked_scripts,
    linted,
    matched,
    scanned,
    scanned_workflows,
)
from tests.delivery.judges.workflows import workflow_problems

pytestmark = pytest.mark.deploy

WORKFLOW = FOLDER / "deploy.yml"
COMPOSE = FOLDER / "compose.yaml"
BROKEN = """
name: broken
on: pull_request_target
jobs:
  greet:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v2
      - run: echo ${{ github.event.issue.title }}
"""


def test_the_samples_are_accepted(tmp_path: Path) -> None:
    """By every scanner; so what they find below is what is broken there."""
    (tmp_path / "system.yaml").write_text((FOLDER / "system.yaml").read_text())

    assert scanned(tmp_path, "kubernetes") == []
    assert scanned(FOLDER / "image", "dockerfile") == []
    assert linted(FOLDER / "image" / "Dockerfile", "docker.io") == []
    assert (audited(WORKFLOW), scanned_workflows(WORKFLOW), workflow_problems(WORKFLOW)) == (
        *([], [], []),
    )
    assert matched(WORKFLOW, "vendor.github-workflows") == []
    assert (matched(COMPOSE, "vendor.compose-spec"), compose_problems(COMPOSE)) == ([], [])


def test_checkov_refuses_a_pod_that_is_root(tmp_path: Path) -> None:
    """And sixteen other things that a bare pod is."""
    (tmp_path / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
        "spec: {containers: [{name: a, image: 'a:latest', securityContext: {privileged: true}}]}\n"
    )

    found = " ".join(scanned(tmp_path, "kubernetes"))
    assert {"CKV_K8S_16", "CKV_K8S_14", "CKV_K8S_22", "CKV2_K8S_6"} <= set(found.split())


def test_what_is_passed_over_for_one_resource_is_asked_of_others(tmp_path: Path) -> None:
    """Of two pods that nothing probes, the one that nobody spoke for is found."""
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\nspec: {containers: [{name: a}]}\n"
    for name in ("mute", "other"):
        (tmp_path / f"{name}.yaml").write_text(pod.replace("NAME", name))
    over = {"CKV_K8S_8 Pod.default.mute": "it listens nowhere"}

    found = [line for line in scanned(tmp_path, "kubernetes", over=over) if "CKV_K8S_8 " in line]

    assert [line.split()[2] for line in found] == ["Pod.default.other:"]


def test_checkov_says_when_it_read_nothing(tmp_path: Path) -> None:
    """An empty folder is no folder without faults."""
    with pytest.raises(AssertionError, match="read nothing"):
        scanned(tmp_path, "kubernetes")


def test_a_dockerfile_that_is_broken_is_refused() -> None:
    """By checkov for what is missing, by hadolint for what is there."""
    found = " ".join(scanned(FOLDER / "broken", "dockerfile"))

    assert {"CKV_DOCKER_2", "CKV_DOCKER_3", "CKV_DOCKER_7"} <= set(found.split())
    codes = {line.split()[0] for line in linted(FOLDER / "broken" / "Dockerfile")}
    assert codes == {"DL3007", "DL4000", "DL3000", "DL3004", "DL3025"}


def test_an_image_from_elsewhere_is_refused() -> None:
    """Only the registries that are trusted are built from."""
    found = linted(FOLDER / "image" / "Dockerfile", "registry.example.com")

    assert {line.split()[0] for line in found} == {"DL3026"}


def test_checkov_refuses_a_database_that_is_open(tmp_path: Path) -> None:
    """Unencrypted, and reachable from everywhere."""
    (tmp_path / "main.tf").write_text(
        'resource "aws_db_instance" "a" {\n  engine = "postgres"\n'
        '  instance_class = "db.t4g.micro"\n  publicly_accessible = true\n}\n'
    )

    found = " ".join(scanned(tmp_path, "terraform"))
    assert {"CKV_AWS_16", "CKV_AWS_17"} <= set(found.split())


def test_a_workflow_that_is_broken_is_refused(tmp_path: Path) -> None:
    """zizmor finds whom it trusts, checkov what it runs, the schema what it misspells."""
    file = tmp_path / "broken.yml"
    file.write_text(BROKEN)

    found = {line.split()[0] for line in audited(file)}
    assert {"dangerous-triggers", "template-injection", "unpinned-uses", "artipacked"} <= found
    assert "CKV_GHA_2" in " ".join(scanned_workflows(file))
    file.write_text(BROKEN.replace("runs-on:", "runs-in:"))
    assert matched(file, "vendor.github-workflows") != []


def test_a_workflow_that_checkov_passes_over_is_not_passed(tmp_path: Path) -> None:
    """Beside one that it reads: a permission that it does not know makes it skip the file."""
    file = tmp_path / "newer.yml"
    file.write_text(WORKFLOW.read_text().replace("packages: write", "artifact-metadata: write"))

    with pytest.raises(AssertionError, match=r"read nothing in newer\.yml"):
        scanned_workflows(WORKFLOW, file)


def test_a_workflow_that_cannot_be_read_is_not_passed(tmp_path: Path) -> None:
    """zizmor ends with its own error, which is not taken for no finding."""
    file = tmp_path / "broken.yml"
    file.write_text("jobs: [\n")

    with pytest.raises(AssertionError, match="could not judge"):
        audited(file)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("needs: [build, scan, sign]", "needs: [build, scan, seal]", "seal, which is no job"),
        ("needs: [build, scan, sign]", "needs: [build]", "need not wait for scan"),
        ("needs: [build, scan]\n", "needs: [build]\n", "would sign before any job would scan"),
        ("outputs.digest }}\n          s", "outputs.diggest }}\n          s", "no such output"),
        ("steps.push.outputs", "steps.pull.outputs", "which is no step of it"),
        ("    needs: [build]\n", "", "reads needs.build, which it does not need"),
        ("      contents: read\n      packages", "      packages", "may not read contents"),
        ("    if: failure()\n", "    if: success()\n", "no job rolls back"),
        ("permissions: {}\nconc", "permissions: read-all\nconc", "are not {}"),
        ("    timeout-minutes: 20\n", "", "build: no timeout-minutes"),
        (" # v7.4.0", "", "an action without commit and version"),
        ("cosign verify", "true", "would verify"),
        ("./rollback.sh", "./rollback.sh ${{ github.sha }}", "pass it by env"),
        ("${{ needs.build.outputs.digest }}\n  dep", "${{ secrets.KEY }}\n  dep", "secrets.KEY"),
    ],
)
def test_a_flow_that_is_broken_is_refused(
    tmp_path: Path, right: str, wrong: str, said: str
) -> None:
    """What the schema and zizmor accept: order, outputs, permissions of a checkout."""
    text = WORKFLOW.read_text()
    assert right in text
    file = tmp_path / "deploy.yml"
    file.write_text(text.replace(right, wrong, 1))

    problems = workflow_problems(file)
    assert any(said in problem for problem in problems), problems


def test_a_compose_file_that_is_misspelt_is_refused(tmp_path: Path) -> None:
    """By its schema."""
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE.read_text().replace("service_healthy", "healthy"))

    assert matched(file, "vendor.compose-spec") != []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("nats: {condition", "nat: {condition", "waits for nat, which is no service"),
        ("    healthcheck:", "    x-health:", "which has no health check"),
        ('"127.0.0.1:8080:8080"', '"8080:8080"', "open to the whole network"),
        ("letters: {}", "letter: {}", "letters is not declared"),
        ("    cap_drop: [ALL]\n", "", "keeps capabilities"),
        ('["no-new-privileges:true"]', "[]", "may gain privileges"),
        ("name: store", 'version: "3.8"', "version: is obsolete"),
        ("letters:/data", "./letters:/data", "which is not there"),
    ],
)
def test_a_compose_file_that_is_broken_is_refused(
    tmp_path: Path, right: str, wrong: str, said: str
) -> None:
    """What its schema accepts."""
    text = COMPOSE.read_text()
    assert right in text
    file = tmp_path / "compose.yaml"
    file.write_text(text.replace(right, wrong, 1))

    problems = compose_problems(file)
    assert any(said in problem for problem in problems), problems


def test_a_script_that_is_broken_is_refused(tmp_path: Path) -> None:
    """Where a name with a blank in it would be two; without that it is accepted."""
    file = tmp_path / "remove.sh"
    script = '#!/usr/bin/env bash\nset -euo pipefail\nrm -r "$1"\n'
    file.write_text(script.replace('"$1"', "$1"))
    found = checked_scripts(file)
    file.write_text(script)

    assert len(found) == 1 and found[0].startswith("SC2086 remove.sh line 3")
    assert checked_scripts(file) == []
