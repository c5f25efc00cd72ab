"""Scanners of manifests, images, modules and workflows: checkov, hadolint, zizmor and schemas.

What is passed over has its reason here, and nowhere else: no comment in a rendered file silences
a scanner.
"""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tests.delivery.judges.programs import program, run, run_apart

Framework = Literal["kubernetes", "dockerfile", "terraform", "github_actions"]

PASSED_OVER: dict[str, dict[str, str]] = {
    "kubernetes": {
        "CKV_K8S_11": "a limit of CPU throttles a service that other pods leave room for",
        "CKV_K8S_35": "settings are variables, and an address with a password is one of them",
    },
    "dockerfile": {},
    "terraform": {
        "CKV2_AWS_57": "a password is changed in the secret and in the database, by one hand",
        "CKV2_AWS_62": "nobody waits for a new version of a state",
        "CKV2_AWS_64": "a key without a policy of its own has the account's, which IAM decides",
        "CKV_AWS_144": "a state is of what is in one region, and is of no use without it",
        "CKV_AWS_18": "who read a state is in CloudTrail, which a whole account has or has not",
        "CKV2_GCP_13": "durations of all statements are more lines than statements",
        "CKV2_GCP_18": "a network without a firewall's rule lets nothing in; GKE adds its own",
        "CKV_GCP_108": "addresses of pods have no names to look up",
        "CKV_GCP_111": "a statement may have a password in it",
        "CKV_GCP_12": "ADVANCED_DATAPATH enforces network policies, and allows no add-on for it",
        "CKV_GCP_125": "it does not read variables; the subject is judged where it is given",
        "CKV_GCP_6": "it asks for clients' certificates; ENCRYPTED_ONLY refuses what is in clear",
        "CKV_GCP_62": "who read a state is in the audit logs, which a whole project has or has not",
        "CKV_GCP_65": "a group of a Google Workspace, which not everybody has",
        "CKV_GCP_69": "the pool that a cluster begins with is removed; the other one has it",
        "CKV_GCP_84": "images are encrypted with Google's keys, and are no secrets",
    },
    "github_actions": {},
}
"""{framework: {check of checkov, or of it one resource alone: why it is not ours}}."""


def scanned_workflows(*files: Path) -> list[str]:
    """Return what checkov finds in workflows, once they are where GitHub looks for them.

    checkov passes over a workflow, without a word, that is newer than its schema
    (`findings/checkov-passes-over-workflows.sh`); so it gets them without what that lacks. A
    workflow that it has not read all the same is an error.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = _placed(Path(place), files)
        for file in folder.iterdir():
            text = re.sub(r"(?m)^ +attestations:.*\n", "", file.read_text())
            file.write_text(re.sub(r"cancel-in-progress: .*", "cancel-in-progress: true", text))
        report = _report(Path(place), "github_actions", {})
    judged = {Path(one["file_path"]).name for kind in report["results"].values() for one in kind}
    unread = sorted({file.name for file in files} - judged)
    assert not unread, f"checkov read nothing in {', '.join(unread)}"
    return sorted(_failed(report))


def _placed(folder: Path, files: Sequence[Path]) -> Path:
    """Copy workflows to where GitHub and the scanners look for them; return that folder."""
    workflows = folder / ".github" / "workflows"
    workflows.mkdir(parents=True)
    for file in files:
        (workflows / file.name).write_text(file.read_text())
    return workflows


def scanned(
    folder: Path, framework: Framework, *, over: Mapping[str, str] | None = None
) -> list[str]:
    """Return what checkov finds in a folder, as `CKV_… file: resource: what it asks`.

    Args:
        over: further checks that are passed over, as in `PASSED_OVER`.
    Raises:
        AssertionError: it read nothing, or could not read a file.
    """
    report, known = (
        _report(folder, framework, over or {}),
        {**PASSED_OVER[framework], **(over or {})},
    )
    return sorted(line for line, of_one in _failed(report).items() if known.get(of_one) is None)


def _report(folder: Path, framework: Framework, over: Mapping[str, str]) -> Any:
    passed_over = sorted(check for check in {**PASSED_OVER[framework], **over} if " " not in check)
    words = ["--directory", str(folder), "--framework", framework, "--output", "json"]
    words += ["--skip-download", "--compact"]
    if passed_over:
        words += ["--skip-check", ",".join(passed_over)]
    _, said, errors = run_apart(program("checkov"), *words, more={"LOG_LEVEL": "ERROR"})
    report = json.loads(said or "{}")
    assert "summary" in report, f"checkov read nothing in {folder}: {said}{errors}"
    summary, results = report["summary"], report["results"]
    assert summary["parsing_errors"] == 0, results["parsing_errors"]
    assert summary["passed"] + summary["failed"] > 0, f"checkov judged nothing in {folder}"
    return report


def _failed(report: Any) -> dict[str, str]:
    """Return {what it asks: the check and the resource}."""
    return {
        f"{one['check_id']} {one['file_path']}: {one['resource']}: {one['check_name']}": (
            f"{one['check_id']} {one['resource']}"
        )
        for one in report["results"]["failed_checks"]
    }


def linted(dockerfile: Path, *registries: str) -> list[str]:
    """Return what hadolint remarks about a Dockerfile, whatever its level.

    Args:
        registries: those whose images it may build from.
    """
    trusted = [word for registry in registries for word in ("--trusted-registry", registry)]
    code, said = run(
        *(program("hadolint"), "--failure-threshold", "style", "--format", "json", *trusted),
        dockerfile,
    )
    found = [f"{one['code']} line {one['line']}: {one['message']}" for one in json.loads(said)]
    assert bool(found) == (code != 0), said
    return found


def audited(*files: Path) -> list[str]:
    """Return what zizmor, as an auditor, finds in workflows."""
    with tempfile.TemporaryDirectory() as place:
        workflows = _placed(Path(place), files)
        code, said, errors = run_apart(
            *(program("zizmor"), "--offline", "--no-progress", "--persona", "auditor"),
            *("--format", "json", workflows),
        )
    assert code in (0, 11, 12, 13, 14), f"zizmor could not judge: {errors}"
    return sorted(f"{one['ident']} {_file_of(one)}: {one['desc']}" for one in json.loads(said))


def _file_of(finding: Any) -> str:
    """Return the name of the file that a finding of zizmor is about."""
    return Path(finding["locations"][0]["symbolic"]["key"]["Local"]["verbatim_path"]).name


def matched(file: Path, schema: str) -> list[str]:
    """Return where a file does not match a schema that check-jsonschema brings.

    Args:
        schema: such as `vendor.github-workflows` or `vendor.compose-spec`.
    """
    code, said = run(
        *(program("check-jsonschema"), "--builtin-schema", schema, "--output-format", "json", file)
    )
    report = json.loads(said[said.index("{") :])
    found = [f"{one['path']}: {one['message']}" for one in report.get("errors", [])]
    found += [f"{one['message']}" for one in report.get("parse_errors", [])]
    assert bool(found) == (code != 0), said
    return found


def checked_scripts(*files: Path) -> list[str]:
    """Return what shellcheck remarks about scripts of Bash, whatever its level."""
    words = ("--severity", "style", "--shell", "bash", "--format", "json")
    code, said, errors = run_apart(program("shellcheck"), *words, *files)
    assert code in (0, 1), errors
    return [
        f"SC{one['code']} {Path(one['file']).name} line {one['line']}: {one['message']}"
        for one in json.loads(said)
    ]
