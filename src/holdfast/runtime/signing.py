"""What signs transaction tokens in a gateway: read at the start, and when its files change."""

import math
from collections.abc import Mapping
from pathlib import Path

from holdfast.engines.followed import Followed
from holdfast.engines.identity_files import IdentityFiles, Material, read_identity
from holdfast.errors import SettingError
from holdfast.ports import Clock
from holdfast.runtime.variables import TOKENS_CERTIFICATE, TOKENS_KEY, TRUSTED
from holdfast.security import (
    Purpose,
    TransactionSigner,
    TransactionVerifier,
)
from holdfast.system import Caller

_VARIABLES = (TOKENS_CERTIFICATE, TOKENS_KEY, TRUSTED)


class FollowedSigner:
    """The signer of one gateway process, by its files.

    Raises:
        SettingError: the files are no identity of what signs for this system.
    """

    def __init__(self, files: IdentityFiles, system: str, clock: Clock) -> None:
        self._files, self._system, self._clock = files, system, clock
        self._followed = Followed(files.all, self._read)
        self.look = self._followed.look

    def __call__(self) -> TransactionSigner:
        """Return what signs now."""
        return self._followed.value[1]

    @property
    def trouble(self) -> str | None:
        """What is wrong with newer files; None: nothing."""
        return self._followed.trouble

    @property
    def serial(self) -> str:
        """The serial number of its certificate."""
        return self._followed.value[0].certificate.serial

    def expires_s(self) -> float:
        """Return how many seconds its certificate is still good."""
        return self._followed.value[0].certificate.ends_s - self._clock.now()

    def life_s(self) -> float:
        """Return how long its certificate is good in all, in seconds."""
        certificate = self._followed.value[0].certificate
        return certificate.ends_s - certificate.begins_s

    def _read(self) -> tuple[Material, TransactionSigner]:
        material = read_identity(self._files, self._system, self._clock.now())
        files = self._files
        try:
            signer = TransactionSigner.from_pem(
                self._system, files.certificate.read_bytes(), files.key.read_bytes()
            )
        except ValueError as exc:
            raise SettingError([f"{files.variables[0]}={files.certificate}: {exc}"]) from exc
        self._try(signer, material)
        return material, signer

    def _try(self, signer: TransactionSigner, material: Material) -> None:
        """Sign a token, and verify it as services will. Raises SettingError."""
        now_s = self._clock.now()
        anything = Purpose("any", "GET", "/")
        verifier = TransactionVerifier(self._system, lambda: material.trusted, self._clock)
        try:
            verifier.verify(
                signer.sign(
                    Caller("nobody"), anything, transaction="none", now_s=now_s, until_s=math.inf
                )
            )
        except ValueError as exc:  # TransactionRefused is one; a chain may be too long to travel
            at = f"{self._files.variables[0]}={self._files.certificate}"
            why = f"no service would take what it signs: {exc}; issue it again"
            raise SettingError([f"{at}: {why}"]) from exc


def signer_of(environ: Mapping[str, str], system: str, clock: Clock) -> FollowedSigner | None:
    """Return what the environment says that this gateway signs with; None: with nothing.

    Raises:
        SettingError: it says it half, or the files are not those of what signs.
    """
    certificate, key, trusted = (environ.get(variable, "") for variable in _VARIABLES)
    if not certificate and not key:
        return None
    for value, variable in zip((certificate, key, trusted), _VARIABLES, strict=True):
        if not value:
            raise SettingError([f"{variable} is missing; set {', '.join(_VARIABLES)}, or none"])
    files = IdentityFiles(Path(certificate), Path(key), Path(trusted), _VARIABLES)
    return FollowedSigner(files, system, clock)
