"""The certificate that clients see: named by the environment, and watched while it runs."""

from collections.abc import Mapping
from pathlib import Path

from holdfast.engines.machine import MachineClock
from holdfast.engines.public_tls import PublicFiles, PublicTls
from holdfast.errors import SettingError
from holdfast.observability import Health, Metrics, catalogue
from holdfast.runtime.identity import IdentityWatch
from holdfast.runtime.variables import PUBLIC_CERTIFICATE, PUBLIC_KEY

_VARIABLES = (PUBLIC_CERTIFICATE, PUBLIC_KEY)
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
