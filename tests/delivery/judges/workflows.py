"""Workflows: what flows from job to job, and in which order what must come first comes.

The schema of workflows and zizmor are content with `needs` and outputs that nobody has, with
an image that is deployed before it was scanned, and with a checkout that may read nothing.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.delivery.judges.objects import parsed

STAGES = {
    "scan": re.compile(r"anchore/scan-action|aquasecurity/trivy-action|\bgrype\b|\btrivy\b"),
    "sign": re.compile(r"\bcosign sign\b"),
    "attest": re.compile(r"actions/attest@|\bcosign attest\b"),
    "verify": re.compile(r"\bcosign verify\b|\bgh attestation verify\b"),
}
"""{what a job does: by which words of its steps it is seen}."""

_OUTPUT = re.compile(r"\b(needs|steps)\.([\w-]+)\.outputs\.([\w-]+)")
_FAILED = re.compile(r"\bfailure\(\)|\bneeds\.[\w-]+\.result *!= *'success'")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
_PINNED = re.compile(r"uses:\s*['\"]?[\w./-]+@[0-9a-f]{40}['\"]?\s+# v\d+(\.\d+)*\s*$")


def workflow_problems(file: Path, *, scripts: Mapping[str, str] | None = None) -> list[str]:
    """Return what is wrong with a workflow by itself, and with the flow between its jobs.

    Args:
        scripts: {path as a step calls it: text}, whose words count as those of the step.
    """
    text = file.read_text()
    [workflow] = parsed(text.replace("\non:", '\n"on":'))
    jobs: dict[str, Any] = workflow["jobs"]
    found = [*_pins(text), *_top(workflow)]
    for name, job in jobs.items():
        found += [f"{name}: {line}" for line in _of_job(job, jobs)]
    found += _order(jobs, scripts or {})
    return [f"{file.name}: {line}" for line in found]


def _pins(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"\buses:\s*[^.\s]", line) and not _PINNED.search(line):
            yield f"line {number}: an action without commit and version"


def _top(workflow: dict[str, Any]) -> Iterator[str]:
    if workflow.get("permissions") != {}:
        yield "permissions above all jobs are not {}"
    if "concurrency" not in workflow:
        yield "no concurrency"
    for word in re.findall(r"\bsecrets\.(\w+)", str(workflow)):
        if word != "GITHUB_TOKEN":
            yield f"secrets.{word}: what deploys is known by its identity, not by a secret"


def _of_job(job: dict[str, Any], jobs: dict[str, Any]) -> Iterator[str]:
    needs = _needs(job)
    yield from (f"needs {name}, which is no job" for name in needs if name not in jobs)
    called = "uses" in job
    if not called and "timeout-minutes" not in job:
        yield "no timeout-minutes"
    if "permissions" not in job:
        yield "no permissions of its own"
    steps = job.get("steps", [])
    if any("actions/checkout" in str(step.get("uses")) for step in steps):
        permissions = job.get("permissions")
        if not isinstance(permissions, dict) or "contents" not in permissions:
            yield "checks out and may not read contents"
    known = {step["id"] for step in steps if "id" in step}
    for kind, owner, output in _OUTPUT.findall(str(job)):
        if kind == "steps" and owner not in known:
            yield f"reads steps.{owner}, which is no step of it"
        if kind == "needs" and owner not in needs:
            yield f"reads needs.{owner}, which it does not need"
        if kind == "needs" and output not in jobs.get(owner, {}).get("outputs", {output: ""}):
            yield f"reads {output} of {owner}, which gives no such output"
    for step in steps:
        for expression in _EXPRESSION.findall(str(step.get("run", ""))):
            yield f"${{{{{expression}}}}} inside a script; pass it by env"


def _needs(job: dict[str, Any]) -> list[str]:
    needs = job.get("needs", [])
    return [needs] if isinstance(needs, str) else list(needs)


def _order(jobs: dict[str, Any], scripts: Mapping[str, str]) -> Iterator[str]:
    """Yield where a job that hands an image on does not come after those that judge it."""
    doing = {name: _stages(job, scripts) for name, job in jobs.items()}
    deploying = [name for name, job in jobs.items() if "environment" in job and "if" not in job]
    for stage in STAGES:
        if deploying and not any(stage in done for done in doing.values()):
            yield f"nothing is there that would {stage}"
    for name, done in doing.items():
        before = _before(name, jobs)
        for first, then in (("scan", "sign"), ("sign", "verify")):
            at_once = first in done and then in done
            if then in done and not at_once and not any(first in doing[job] for job in before):
                yield f"{name}: would {then} before any job would {first}"
    for name in deploying:
        reached = {stage for job in (*_before(name, jobs), name) for stage in doing[job]}
        missing = [stage for stage in STAGES if stage not in reached]
        yield from (f"{name}: deploys, and need not wait for {stage}" for stage in missing)
    back = [job for job in jobs.values() if _FAILED.search(str(job.get("if", "")))]
    if deploying and not any(set(_needs(job)) & _after(deploying, jobs) for job in back):
        yield "no job rolls back when a deployment fails"


def _stages(job: dict[str, Any], scripts: Mapping[str, str]) -> set[str]:
    words = "\n".join(
        f"{step.get('uses', '')}\n{step.get('run', '')}" for step in job.get("steps", [])
    )
    words += "".join(text for path, text in scripts.items() if path in words)
    return {stage for stage, sign in STAGES.items() if sign.search(words)}


def _before(name: str, jobs: dict[str, Any]) -> set[str]:
    """Return all jobs that must have ended well before one begins."""
    found: set[str] = set()
    waiting = _needs(jobs[name])
    while waiting:
        one = waiting.pop()
        if one in jobs and one not in found:
            found.add(one)
            waiting += _needs(jobs[one])
    return found


def _after(names: list[str], jobs: dict[str, Any]) -> set[str]:
    return {*names, *(job for job in jobs if _before(job, jobs) & set(names))}
