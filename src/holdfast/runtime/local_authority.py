"""The authority of one machine: issues certificates in the data folder, and issues them again.

`run --on`, `run --split` and tests have it, so that nobody has to set anything up. The files of a
workload are called as cert-manager calls those of a Secret.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from holdfast.communication import LOOPBACK
from holdfast.contract.spiffe import ALL, GATEWAY, MONITORING, OPERATOR, SERVERS, SIGNER
from holdfast.engines.identity_files import IdentityFiles
from holdfast.engines.troubles import Troubles
from holdfast.ports import Clock
from holdfast.runtime.private_file import write_private
from holdfast.runtime.variables import (
    CERTIFICATE,
    KEY,
    TOKENS_CERTIFICATE,
    TOKENS_KEY,
    TRUSTED,
)
from holdfast.security import Authority
from holdfast.security.authority import LIFE_S

LOOK_S = 30.0
IDENTITIES = "identities"
"""The folder in a data folder with what is issued there."""


class LocalAuthority:
    """Issues the certificates of a system on this machine.

    Args:
        folder: made if it is not there; for this user alone.
        life_s: of a certificate; it is issued again when half of that is over.
        mode: of the files of workloads; those of the authority itself are this user's alone.
    """

    def __init__(
        self, folder: Path, system: str, clock: Clock, life_s: float = LIFE_S, *, mode: int = 0o600
    ) -> None:
        self._folder, self._system, self._clock = folder, system, clock
        self._life_s, self._mode = life_s, mode
        self._authority: Authority | None = None
        self._due_s: dict[str, float] = {}  # {workload: when it gets the next certificate}
        self._told: dict[str, Callable[[], None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._troubles = Troubles("local authority")

    @property
    def trusted(self) -> Path:
        """The file of what is to be trusted."""
        return self._folder / "ca.crt"

    def issue(self, name: str) -> IdentityFiles:
        """Write a new certificate for a workload; return where its files are.

        What was there is replaced, the key first: whoever reads between the two has a pair that
        does not fit, keeps the last one, and reads again.
        """
        authority, now_s = self._begun(), self._clock.now()
        issued = authority.issue(
            name,
            now_s=now_s,
            life_s=self._life_s,
            dns=("localhost",) if name in SERVERS else (),
            addresses=(LOOPBACK,) if name in SERVERS else (),
        )
        folder = self._place(name)
        folder.mkdir(
            mode=0o700 | self._mode & 0o040 | (self._mode & 0o040) >> 2, parents=True, exist_ok=True
        )
        files = files_in(folder)
        write_private(files.key, issued.key, self._mode)
        write_private(files.certificate, issued.certificate, self._mode)
        write_private(files.trusted, self.trusted.read_bytes(), self._mode)
        self._due_s[name] = now_s + (issued.ends_s - now_s) / 2
        self._changed(name)
        return files

    def _changed(self, name: str) -> None:
        if name in self._told:
            self._told[name]()

    def tell(self, name: str, callback: Callable[[], None]) -> None:
        """Call `callback` when files of a workload have changed: for servers that do not look."""
        self._told[name] = callback

    def start(self) -> None:
        """Issue again what is half over, until `stop`; who looks in from outside has one, too."""
        for name in (OPERATOR, MONITORING):
            self.issue(name)
        self._task = asyncio.create_task(self._keep_on(), name="local authority")

    def stop(self) -> None:
        """Issue nothing more."""
        if self._task is not None:
            self._task.cancel()

    async def _keep_on(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_S, self._life_s / 8))
            self.renew()

    def renew(self) -> list[str]:
        """Issue again what is half over, as far as it can be written; return who got a new one."""
        now_s = self._clock.now()
        due = [name for name, due_s in self._due_s.items() if now_s >= due_s]
        return [name for name in due if self._renewed(name)]

    def _renewed(self, name: str) -> bool:
        """Issue for one; a full disk ends it for now, and for nobody else."""
        try:
            self.issue(name)
        except OSError as exc:
            self._troubles.begin(name, f"no new certificate: {exc}")
            return False
        self._troubles.end(name)
        return True

    def announce(self) -> None:
        """Make the next authority, and have it trusted: the first step of its rotation.

        It issues nothing before everybody has read that: see `switch`, and then `forget`.
        """
        own = self._begun()
        following = Authority.new(self._system, now_s=self._clock.now())
        self._keep("next", following)
        self._trust(own.certificate + following.certificate)

    def switch(self) -> None:
        """Issue by the next authority from now on; the one before is still trusted."""
        self._authority = self._kept("next")
        self._keep("own", self._authority)
        for name in list(self._due_s):
            self.issue(name)

    def forget(self) -> None:
        """Trust the newest authority alone: whatever the one before has issued is refused."""
        self._trust(self._begun().certificate)

    def _begun(self) -> Authority:
        if self._authority is None:
            if not (self._folder / "own.key").exists():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                made = Authority.new(self._system, now_s=self._clock.now())
                self._trust(made.certificate)
                self._keep("own", made)
            self._authority = self._kept("own")
        return self._authority

    def _trust(self, authorities: bytes) -> None:
        write_private(self.trusted, authorities)
        for name in self._due_s:
            write_private(self._place(name) / "ca.crt", authorities, self._mode)
            self._changed(name)

    def _place(self, name: str) -> Path:
        return self._folder / name.replace("/", "-")

    def _keep(self, which: str, authority: Authority) -> None:
        write_private(self._folder / f"{which}.crt", authority.certificate)
        write_private(self._folder / f"{which}.key", authority.key_pem())

    def _kept(self, which: str) -> Authority:
        certificate, key = (self._folder / f"{which}.{end}" for end in ("crt", "key"))
        return Authority.from_pem(self._system, certificate.read_bytes(), key.read_bytes())


def kept_in(data: Path, name: str) -> IdentityFiles:
    """Return where the identity of a workload is, in a data folder with an authority."""
    return files_in(data / IDENTITIES / name.replace("/", "-"))


def files_in(folder: Path) -> IdentityFiles:
    """Return the files of an identity, called as those of a Secret of cert-manager."""
    return IdentityFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")


def variables_of(authority: LocalAuthority, name: str) -> dict[str, str]:
    """Issue an identity for a process; return what it is told of it."""
    files = authority.issue(name)
    told = {CERTIFICATE: str(files.certificate), KEY: str(files.key), TRUSTED: str(files.trusted)}
    if name in (GATEWAY, ALL):
        signer = authority.issue(SIGNER)
        told |= {TOKENS_CERTIFICATE: str(signer.certificate), TOKENS_KEY: str(signer.key)}
    return told
