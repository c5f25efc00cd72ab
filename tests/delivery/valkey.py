"""A real Valkey with TLS, as it is rendered for the shop, and whoever comes to it."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast.contract.spiffe import REDIS
from holdfast.delivery.identities import IDENTITY
from holdfast.delivery.plan import PORTS, plan_of
from holdfast.delivery.redis import redis_conf
from holdfast.engines.identity_files import IdentityFiles
from holdfast.engines.machine import MachineClock
from holdfast.runtime.local_authority import LocalAuthority
from shop.system import shop
from tests.delivery.kubelet.wheels import valkey
from tests.servers import free_port, wait_for_port


@dataclass
class Rendered:
    """The server, which listens on this machine alone.

    Attributes:
        authority: of the system. files: those of the server's identity.
    """

    port: int
    authority: LocalAuthority
    files: IdentityFiles

    def said(self, files: IdentityFiles | None, *words: str) -> str:
        """Return what it answers, or how it refuses, whoever has these files; None: in clear."""
        shown: list[str | Path] = []
        if files is not None:
            shown = ["--tls", "--cert", files.certificate, "--key", files.key]
            shown += ["--cacert", self.authority.trusted]
        command = [valkey() / "bin" / "valkey-cli", "-e", "-p", str(self.port), *shown, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return (done.stdout + done.stderr).strip()


@contextmanager
def rendered_redis(folder: Path, instead: Mapping[str, str] | None = None) -> Iterator[Rendered]:
    """Run it until the block ends.

    Args:
        instead: {begin of a line: the rest of it} of what it is told otherwise.
    """
    authority = LocalAuthority(folder / "issued", shop.name, MachineClock())
    files, port = authority.issue(REDIS), free_port()
    text = redis_conf(plan_of(shop, typed="shop")).replace(IDENTITY, str(files.certificate.parent))
    text = text.replace(f"tls-port {PORTS[REDIS]}", f"tls-port {port}\nbind 127.0.0.1")
    for word, rest in (instead or {}).items():
        text, n = re.subn(f"^{word} .*$", f"{word} {rest}", text, count=1, flags=re.MULTILINE)
        assert n, f"no line of redis.conf begins with {word}"
    (folder / "redis.conf").write_text(text)
    with (folder / "log").open("wb") as log:
        words = [valkey() / "bin" / "valkey-server", folder / "redis.conf"]
        child = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder)
    try:
        wait_for_port(port)
        yield Rendered(port, authority, files)
    finally:
        child.terminate()
        child.wait(60)
