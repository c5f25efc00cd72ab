"""The scripts of the pipeline, run as a person would: on a clone, with Git itself."""

import re
from pathlib import Path

import pytest

from tests.delivery.repository import FIRST, SECOND, THIRD, Repository, repository


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository; each test has an environment, or a copy, of its own."""
    return repository(tmp_path_factory.mktemp("repository"))


def deploy(clone: Repository, environment: str, digest: str) -> str:
    """Release a digest and deploy it by Git; return the commit."""
    clone.release(environment, digest)
    said = clone.script("deploy", "git", environment)
    assert said.code == 0, said.err
    return said.out.strip()


def running(clone: Repository, environment: str) -> str:
    """Return the digest that an environment's branch has for it."""
    lock = clone.on(f"environments/{environment}", "deploy/images.lock")
    (line,) = (line for line in lock.splitlines() if line.startswith(f"{environment} = "))
    return line.split('"')[1]


def test_nothing_stops_reading_what_a_program_still_writes(clone: Repository) -> None:
    """Under `pipefail` that program's SIGPIPE would end a script, now and then, without a word."""
    early = re.compile(r"\|\s*(head\b|grep\b[^|]*\s-(m|q|-quiet|-max)|sed\b[^|]*q;?\}?['\"])")
    scripts = sorted((clone.folder / "deploy" / "ci").glob("*.sh"))
    assert {"deploy.sh", "rollback.sh"} <= {script.name for script in scripts}

    for script in scripts:
        lines = script.read_text().splitlines()
        assert [line for line in lines if early.search(line)] == [], script.name


def test_a_digest_goes_to_the_branch_that_the_cluster_follows(clone: Repository) -> None:
    """What it reads alone, in one commit that says what it is; the clone stays as it is."""
    before = clone.git("rev-parse", "HEAD")
    secret = clone.folder / "deploy" / "compose" / "secrets" / "orders"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("password")

    commit = deploy(clone, "live", FIRST)
    again = clone.script("deploy", "git", "live")
    second = deploy(clone, "live", SECOND)

    read = ("images.lock", "kubernetes", "kustomize", "helm", "gitops")
    there = clone.on("environments/live").split("\n")
    assert {path.split("/")[1] for path in there} == {*read}
    assert {path.split("/")[0] for path in there} == {"deploy"}
    assert running(clone, "live") == SECOND
    assert clone.git("rev-parse", f"{second}^") == commit
    assert (again.code, again.out.strip()) == (0, commit)
    assert "is so already" in again.err
    said = clone.git("log", "-1", "--format=%B", second)
    assert said == f"night to live\n\nImage: {SECOND}\nSource: {before}"
    assert clone.git("rev-parse", "HEAD") == before
    assert clone.git("diff", "--cached", "--name-only") == ""
    assert clone.git("branch", "--show-current") == "main"


def test_rolling_back_goes_on_backwards(clone: Repository) -> None:
    """Twice is twice back, and what was rolled back is never deployed again by it."""
    for digest in (FIRST, SECOND, THIRD):
        last = deploy(clone, "rehearsal", digest)

    seen = []
    for _ in range(2):
        assert clone.script("rollback", "git", "rehearsal").code == 0
        seen.append(running(clone, "rehearsal"))
    nothing = clone.script("rollback", "git", "rehearsal")
    after = deploy(clone, "rehearsal", THIRD)
    once = clone.script("rollback", "git", "rehearsal", after)
    late = clone.script("rollback", "git", "rehearsal", last)

    assert seen == [SECOND, FIRST]
    assert nothing.code == 1 and "there is nothing to go back to" in nothing.err
    assert once.code == 0 and running(clone, "rehearsal") == FIRST
    assert late.code == 1 and "another deployment came after it, and stays" in late.err


def test_somebody_else_deployed_meanwhile(clone: Repository, tmp_path: Path) -> None:
    """A push over it is refused by the origin, and told."""
    deploy(clone, "live", FIRST)
    hook = clone.origin / "hooks" / "update"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    try:
        clone.release("live", THIRD)
        refused = clone.script("deploy", "git", "live")
        back = clone.script("rollback", "git", "live")
    finally:
        hook.unlink()

    assert refused.code == back.code == 1
    assert "environments/live was not pushed" in refused.err
    assert "environments/live was not pushed" in back.err
    assert running(clone, "live") == FIRST


def test_a_digest_is_rendered_everywhere(clone: Repository) -> None:
    """A wrong one changes nothing, and what cannot be rendered is not locked."""
    lock = clone.folder / "deploy" / "images.lock"
    before = lock.read_text()

    wrong = clone.script("lock-image", "live", "latest")
    nobody = clone.script("lock-image", "moon", FIRST)
    unasked = clone.script("lock-image", "live")
    broken = clone.script("lock-image", "live", SECOND, "--no-such-option")
    kept = lock.read_text()
    server = clone.script("lock-image", "nats", THIRD)
    nats = (clone.folder / "deploy/kubernetes/live/nats.yaml").read_text()
    forgotten = clone.script("lock-image", "live", "unresolved")
    refused = clone.script("deploy", "git", "live")

    assert "'latest' is no digest; write sha256: and 64 hex digits" in wrong.err
    assert "has no 'moon'" in nobody.err
    assert "whoever builds the image of live knows its digest; give it" in unasked.err
    assert (wrong.code, nobody.code, unasked.code) == (1, 1, 1)
    assert broken.code != 0 and kept == before
    assert server.code == forgotten.code == 0
    assert f'nats = "{THIRD}"' in lock.read_text() and f"@{THIRD}" in nats
    assert 'live = "unresolved"' in lock.read_text()
    assert refused.code == 1
    assert "live has images without a digest, which its cluster refuses" in refused.err
    assert "team/night:unresolved" in refused.err


def test_a_registry_is_asked_for_a_server(clone: Repository, tmp_path: Path) -> None:
    """By skopeo, with the reference that the lock has."""
    skopeo = tmp_path / "skopeo"
    skopeo.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\necho {SECOND}\n')
    skopeo.chmod(0o755)
    beside = Repository(clone.folder, clone.origin, (tmp_path, *clone.path))

    said = beside.script("lock-image", "redis")

    assert said.code == 0, said.err
    lock = (clone.folder / "deploy" / "images.lock").read_text()
    assert f'redis = "{SECOND}"' in lock
    assert (
        (tmp_path / "asked").read_text().split()[-1].startswith("docker://docker.io/valkey/valkey:")
    )


@pytest.mark.parametrize(
    "script", ["lock-image", "deploy", "slo-check", "rollback", "setup", "test"]
)
def test_a_script_says_how_it_is_used(clone: Repository, script: str) -> None:
    """On stdout when it was asked, on stderr and with 2 when it is used wrongly."""
    asked = clone.script(script, "--help")
    wrong = clone.script(script, *["x"] * 100)

    assert (asked.code, asked.err) == (0, "")
    assert asked.out.startswith(f"usage: ci/{script}.sh")
    assert (wrong.code, wrong.out, wrong.err) == (2, "", asked.out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("deploy", "git", "moon"), "there is no environment 'moon'; there is rehearsal, live"),
        (("rollback", "git", "moon"), "there is no environment 'moon'; there is rehearsal, live"),
        (("deploy", "ftp", "live"), "'ftp' is no way to deploy; write git, helm or kubectl"),
        (("rollback", "ftp", "live"), "'ftp' is no way to go back; write git or helm"),
        (("slo-check", "http://x", "soon"), "'soon' is no whole number of seconds"),
        (("slo-check", "--reach", ""), "no URL of Prometheus is set"),
    ],
)
def test_what_does_not_fit_is_named(clone: Repository, words: tuple[str, ...], said: str) -> None:
    """With what would."""
    refused = clone.script(*words)

    assert (refused.code, refused.out) == (1, "")
    assert said in refused.err
