"""What is rendered for cert-manager, once it is issued, is taken by whoever it is for."""

from pathlib import Path

import pytest

from holdfast.contract.spiffe import GATEWAY, MIGRATOR, PROVISIONER
from holdfast.engines.machine import MachineClock
from holdfast.runtime.identity import RefusedPeers, identity_of
from holdfast.runtime.signing import signer_of
from holdfast.runtime.variables import (
    CERTIFICATE,
    KEY,
    TOKENS_CERTIFICATE,
    TOKENS_KEY,
    TRUSTED,
)
from shop.system import shop
from tests.delivery.kubelet.cert_manager import CertManager
from tests.delivery.kubelet.manifests import load

DEPLOY = Path(__file__).parents[2] / "deploy" / "kubernetes" / "staging"
NAMES = sorted({GATEWAY, MIGRATOR, PROVISIONER, *(s.name for s in shop.services)})


@pytest.fixture(scope="module")
def issued() -> CertManager:
    """What is issued for the shop's pods."""
    return CertManager(load(DEPLOY))


def files_of(issued: CertManager, secret: str, folder: Path) -> dict[str, str]:
    """Write the files of a Secret; return {name: path}."""
    paths: dict[str, str] = {}
    for name, text in issued.secrets[shop.name, secret]["stringData"].items():
        path = folder / name
        path.write_text(text)
        path.chmod(0o400)
        paths[name] = str(path)
    return paths


@pytest.mark.parametrize("name", NAMES)
def test_who_is_given_a_certificate_is_who_it_names(
    issued: CertManager, name: str, tmp_path: Path
) -> None:
    """The process takes it as its own."""
    files = files_of(issued, f"identity-{name}", tmp_path)
    environ = {
        CERTIFICATE: files["tls.crt"],
        KEY: files["tls.key"],
        TRUSTED: files["ca.crt"],
    }

    identity = identity_of(environ, shop.name, RefusedPeers())

    assert identity is not None and identity.name == name


def test_the_gateway_signs_what_services_take(issued: CertManager, tmp_path: Path) -> None:
    """By the certificate for its tokens, which it tries before it begins."""
    files = files_of(issued, "identity-gateway-tokens", tmp_path)
    environ = {
        TOKENS_CERTIFICATE: files["tls.crt"],
        TOKENS_KEY: files["tls.key"],
        TRUSTED: files["ca.crt"],
    }

    signer = signer_of(environ, shop.name, MachineClock())

    assert signer is not None and signer.expires_s() > 0
