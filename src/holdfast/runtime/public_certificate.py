"""The certificate that clients see: named by the environment, and watched while it runs."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from holdfast.engines.machine import MachineClock
from holdfast.engines.public_tls import PublicFiles, PublicTls
from holdfast.errors import SettingError
from holdfast.observability import Health, Logger, Metrics, catalogue
from holdfast.ports import Clock, HandshakeFailure
from holdfast.runtime.identity import IdentityWatch
from holdfast.runtime.variables import PUBLIC_CERTIFICATE, PUBLIC_KEY

_VARIABLES = (PUBLIC_CERTIFICATE, PUBLIC_KEY)
_TOLD_EVERY_S = 1.0
PUBLIC = "public"
_LATE = 1 / 6  # of its life: an authority's clients renew at a third, and try again each day


def public_tls_of(environ: Mapping[str, str], host: str) -> PublicTls | None:
    """Return what the environment says that clients are shown; None: they are served in clear.

    Args:
        host: what the gateway listens on.
    Raises:
        SettingError: it says it half, the files are no good, or it listens on a socket.
    """
    certificate, key = (environ.get(variable, "") for variable in _VARIABLES)
    if not certificate and not key:
        return None
    for value, variable in ((certificate, PUBLIC_CERTIFICATE), (key, PUBLIC_KEY)):
        if not value:
            raise SettingError([f"{variable} is missing; set {' and '.join(_VARIABLES)}, or none"])
    if host.startswith("unix:"):
        raise SettingError(
            [
                f"{PUBLIC_CERTIFICATE} with --host {host}: who comes by a socket is on this "
                f"machine, and speaks in clear; unset {' and '.join(_VARIABLES)}, or name a host"
            ]
        )
    return PublicTls(PublicFiles(Path(certificate), Path(key), _VARIABLES), MachineClock())


class FailedHandshakes:
    """Tells of clients whose TLS handshake failed: counted, and a line a second at most."""

    def __init__(self, logger: Logger, clock: Clock) -> None:
        self._logger, self._clock = logger, clock
        self._told_at, self._untold = -_TOLD_EVERY_S, 0
        self.counts: dict[HandshakeFailure, int] = dict.fromkeys(get_args(HandshakeFailure), 0)

    def __call__(self, address: str, reason: HandshakeFailure, why: str) -> None:
        """Note one."""
        self.counts[reason] += 1
        self._untold += 1
        now = self._clock.monotonic()
        if now - self._told_at >= _TOLD_EVERY_S:
            count, self._untold, self._told_at = self._untold, 0, now
            self._logger.warning(
                "handshake.failed", client=address, reason=reason, why=why, count=count
            )

    def watch(self, metrics: Metrics) -> None:
        """Show them."""
        for reason in self.counts:
            count = functools.partial(self.counts.__getitem__, reason)
            metrics.watch(catalogue.HANDSHAKES_FAILED, count, reason=reason)


class PublicWatch(IdentityWatch):
    """Takes up new files of the certificate that clients see, and says what is wrong with them."""

    def watch(self, health: Health, metrics: Metrics) -> None:
        """Show how long the certificate is good, and what is wrong."""
        super().watch(health, metrics)
        ill = lambda: int(self.trouble() is not None)  # noqa: E731
        metrics.watch(catalogue.CERTIFICATE_TROUBLE, ill, certificate=PUBLIC)

    def _is_late(self, left_s: float) -> bool:
        return left_s < self._identity.life_s() * _LATE

    def _renewed(self, serial: str, seconds: int) -> None:
        self._logger.info("certificate.renewed", serial=serial, seconds=seconds)

    def _alarm(self, why: str) -> None:
        self._logger.error("certificate.trouble", why=why)
