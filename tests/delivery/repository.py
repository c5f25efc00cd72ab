"""A Git repository with a system, what is rendered of it, and an origin to push to: for scripts."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DECLARATION = '''
"""Reports that are made over night: no routes, one environment, a registry of AWS."""
from holdfast import Command, Deploy, Environment, Pods, Service, System, Tx


class MakeReport(Command[None]):
    """Make a report."""

    day: str


reports = Service("reports", deploy=Pods(bulk=True, most=4))


@reports.handles
async def make(command: MakeReport, tx: Tx) -> None:
    """Make it."""


night = System(
    "night",
    [reports],
    deploy=Deploy(
        registry="123456789012.dkr.ecr.eu-central-1.amazonaws.com/team",
        environments=[Environment("rehearsal", size="small"), Environment("live")],
    ),
)
'''
FIRST, SECOND, THIRD = (f"sha256:{digit * 64}" for digit in "123")


@dataclass(frozen=True, slots=True)
class Said:
    """What a program left behind."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A clone and its origin, which is bare; `deploy` is what was rendered.

    Attributes:
        path: folders in which programs are looked for before others.
    """

    folder: Path
    origin: Path
    path: tuple[Path, ...] = (Path(sys.prefix) / "bin",)

    def run(self, *words: str | Path, **environ: str) -> Said:
        """Run a program in the clone."""
        done = subprocess.run(
            [str(word) for word in words],
            cwd=self.folder,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
                "PATH": os.pathsep.join([*map(str, self.path), os.environ["PATH"]]),
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_CONFIG_NOSYSTEM": "1",
                **{f"GIT_{who}_NAME": "A Developer" for who in ("AUTHOR", "COMMITTER")},
                **{f"GIT_{who}_EMAIL": "dev@example.com" for who in ("AUTHOR", "COMMITTER")},
                **environ,
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def script(self, name: str, *arguments: str, **environ: str) -> Said:
        """Run one of the rendered scripts."""
        return self.run(self.folder / "deploy" / "ci" / f"{name}.sh", *arguments, **environ)

    def git(self, *arguments: str) -> str:
        """Run Git in the clone, which must go well; return what it prints."""
        said = self.run("git", *arguments)
        assert said.code == 0, said.err
        return said.out.strip()

    def on(self, branch: str, path: str = "") -> str:
        """Return a file as it is on a branch of the origin; without a path, its files."""
        self.git("fetch", "--quiet", "origin", branch)
        if path:
            return self.git("show", f"FETCH_HEAD:{path}")
        return self.git("ls-tree", "-r", "--name-only", "FETCH_HEAD")

    def release(self, environment: str, digest: str) -> None:
        """Put in a digest as `lock-image.sh` does, without rendering all the rest again."""
        lock = self.folder / "deploy" / "images.lock"
        line = re.compile(f'^{environment} = "[^"]*"', re.MULTILINE)
        lock.write_text(line.sub(f'{environment} = "{digest}"', lock.read_text()))
        for file in (self.folder / "deploy" / "kubernetes" / environment).iterdir():
            image = re.sub(r"/night@sha256:[0-9a-f]{64}", f"/night@{digest}", file.read_text())
            file.write_text(image)


def repository(folder: Path) -> Repository:
    """Make one: the declaration, rendered, committed and pushed."""
    made = Repository(folder / "clone", folder / "origin.git")
    made.folder.mkdir()
    made.run("git", "init", "--quiet", "--bare", "--initial-branch=main", made.origin)
    made.git("init", "--quiet", "--initial-branch=main")
    made.git("remote", "add", "origin", str(made.origin))
    (made.folder / "night.py").write_text(DECLARATION.lstrip())
    made.run("holdfast", "render", "night", "--to", "deploy", "--only", "ci")
    lock = made.folder / "deploy" / "images.lock"  # as if registries had been asked
    lock.write_text(lock.read_text().replace('"unresolved"', f'"{FIRST}"'))
    said = made.run("holdfast", "render", "night", "--to", "deploy")
    assert said.code == 0, said.err
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "Declare the night")
    made.git("push", "--quiet", "origin", "main")
    return made
