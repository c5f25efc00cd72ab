"""Who this process is: read at the start, watched while it runs, told where it goes wrong."""

import asyncio
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from holdfast.contract.spiffe import ALL, GATEWAY, OPERATOR
from holdfast.engines.identity_files import IdentityFiles
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import REFUSALS, Refusal, TlsIdentity
from holdfast.errors import SettingError
from holdfast.observability import Audit, Health, Logger, Metrics, catalogue
from holdfast.observability.catalogue import Metric
from holdfast.runtime.local_authority import LocalAuthority, kept_in
from holdfast.runtime.variables import CERTIFICATE, KEY, TRUSTED

LOOK_S = 5.0
"""So often the files are looked at: what was rotated is shown, and asked for, so soon."""
SOON_S = 600.0
"""A certificate of which less is left should have been followed by another one long ago."""
_VARIABLES = (CERTIFICATE, KEY, TRUSTED)


class RefusedPeers:
    """Tells of peers that were refused: in the log, and in the metrics once those are there."""

    def __init__(self, logger: Logger | None = None) -> None:
        self._logger = logger
        self._audit: Audit | None = None  # once the process is far enough to have one
        self.counts: dict[Refusal, int] = dict.fromkeys(REFUSALS, 0)

    def __call__(self, reason: Refusal, why: str) -> None:
        """Note one."""
        self.counts[reason] += 1
        if self._logger is not None:
            self._logger.warning("peer.refused", reason=reason, why=why)
        if self._audit is not None:
            self._audit.record("peer.refused", who="a peer", outcome=f"refused: {reason}: {why}")

    def watch(self, metrics: Metrics, audit: Audit) -> None:
        """Show them, and write them down."""
        self._audit = audit
        for reason in REFUSALS:
            count = functools.partial(self.counts.__getitem__, reason)
            metrics.watch(catalogue.PEERS_REFUSED, count, reason=reason)


def identity_of(
    environ: Mapping[str, str], system: str, refusals: RefusedPeers
) -> TlsIdentity | None:
    """Return who the environment says that this process is; None: nobody in particular.

    Raises:
        SettingError: it says it half, or the files are no identity of the system.
    """
    given = {variable: environ.get(variable, "") for variable in _VARIABLES}
    if not any(given.values()):
        return None
    if missing := [variable for variable, path in given.items() if not path]:
        named = ", ".join(variable for variable in _VARIABLES if given[variable])
        raise SettingError([f"{named} goes with {' and '.join(missing)}; set all three, or none"])
    certificate, key, trusted = (Path(given[variable]) for variable in _VARIABLES)
    files = IdentityFiles(certificate, key, trusted, _VARIABLES)
    return TlsIdentity(files, system, MachineClock(), refusals)


def operator_of(authority: LocalAuthority, system: str) -> TlsIdentity:
    """Issue the identity of an operator on this machine, and return it."""
    files = authority.issue(OPERATOR)
    return TlsIdentity(files, system, MachineClock(), RefusedPeers())


def operator_here(environ: Mapping[str, str], folder: Path, system: str) -> TlsIdentity | None:
    """Return the identity of whoever operates a system from here; None: there is none.

    Args:
        folder: the data folder, which has one where an authority is in it.
    Raises:
        SettingError: the environment names one that cannot be used.
    """
    named = identity_of(environ, system, RefusedPeers())
    if named is not None or not (files := kept_in(folder, OPERATOR)).certificate.exists():
        return named
    return TlsIdentity(files, system, MachineClock(), RefusedPeers())


def check_hosted(identity: TlsIdentity, hosted: Sequence[str], *, gateway: bool) -> None:
    """Refuse to be somebody else than what a process hosts. Raises SettingError."""
    named = (*hosted, *([GATEWAY] if gateway else []))
    if identity.name != ALL and named != (identity.name,):
        raise SettingError(
            [
                f"{CERTIFICATE}: it is of {identity.name}, and this process hosts "
                f"{', '.join(named)}: give it the certificate of what it hosts, one service or the "
                f"gateway; of {ALL!r}, if it hosts everything"
            ]
        )


class WatchedIdentity(Protocol):
    """What is made of the files of an identity, and follows them; see `TlsIdentity`."""

    @property
    def trouble(self) -> str | None: ...
    @property
    def serial(self) -> str: ...
    def look(self) -> bool: ...
    def expires_s(self) -> float: ...
    def life_s(self) -> float: ...


class IdentityWatch:
    """Takes up new files of an identity, and says what is wrong with them.

    Args:
        name: of what is watched, as readiness says it.
        expires: shows how long the certificate is good.
    """

    def __init__(
        self,
        identity: WatchedIdentity,
        logger: Logger,
        name: str = "identity",
        expires: Metric = catalogue.CERTIFICATE_EXPIRES,
    ) -> None:
        self._name, self._expires = name, expires
        self._identity, self._logger = identity, logger
        self._told = ""
        self._task: asyncio.Task[None] | None = None

    def watch(self, health: Health, metrics: Metrics) -> None:
        """Show how long the certificate is good, and what is wrong."""

        async def trouble() -> str | None:
            return self.trouble()

        health.watch(self._name, trouble)
        named = dict.fromkeys(self._expires.labels, self._name)
        metrics.watch(self._expires, self._identity.expires_s, **named)

    def trouble(self) -> str | None:
        """Return what is wrong, or None."""
        left_s, newer = self._identity.expires_s(), self._identity.trouble
        if left_s <= 0:
            ends = f"its certificate expired {-left_s:.0f} s ago: nobody takes it any more"
        elif self._is_late(left_s):
            no_other = "" if newer else ", and no other has come"
            ends = f"its certificate expires in {left_s:.0f} s{no_other}"
        else:
            return newer
        return f"{newer}; {ends}" if newer else ends  # newer files are what has to be mended

    def _is_late(self, left_s: float) -> bool:
        """Whether another certificate should have come by now."""
        return left_s < SOON_S and left_s < self._identity.life_s() / 4

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Look once; what is wrong is said once, too."""
        if self._identity.look():
            left_s, serial = self._identity.expires_s(), self._identity.serial
            self._renewed(serial, round(left_s))
        trouble = self.trouble() or ""
        kind = re.sub(r"\d+", "", trouble)  # not once for each second
        if trouble and kind != self._told:
            self._alarm(trouble)
        self._told = kind

    def _renewed(self, serial: str, seconds: int) -> None:
        self._logger.info("identity.renewed", serial=serial, seconds=seconds)

    def _alarm(self, why: str) -> None:
        self._logger.error("identity.trouble", why=why)
