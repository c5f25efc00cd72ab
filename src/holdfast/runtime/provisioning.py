"""Provisioning: the streams of a system's services on its broker, by who has the right to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from holdfast.contract.spiffe import PROVISIONER
from holdfast.engines.nats_names import API
from holdfast.errors import SettingError
from holdfast.ports import Identity
from holdfast.runtime.engines import broker_copies, broker_servers, nats_proof, newest_broker
from holdfast.runtime.variables import BROKER_URL, CERTIFICATE
from holdfast.system import System

if TYPE_CHECKING:
    from holdfast.engines.nats_provisioner import NatsProvisioner


def provisioner_of(
    system: System, environ: Mapping[str, str], identity: Identity | None
) -> "NatsProvisioner":
    """Return what makes the streams on the broker that BROKER_URL names.

    Raises:
        SettingError: there is none, the URL does not fit, or the identity is another one's.
    """
    url = environ.get(BROKER_URL)
    if not url:
        raise SettingError([f"{BROKER_URL} is not set: in one process there is nothing to provide"])
    if identity is not None and identity.name != PROVISIONER:
        raise SettingError(
            [f"{CERTIFICATE}: it is of {identity.name}; give it the one of {PROVISIONER!r}"]
        )
    try:
        from holdfast.engines.nats_provisioner import NatsProvisioner  # only where it is wanted
    except ModuleNotFoundError as exc:
        raise SettingError([f"{BROKER_URL} needs `pip install holdfast[nats]`: {exc}"]) from exc
    servers, tls = broker_servers(url, proven=identity is not None)
    return NatsProvisioner(
        system.name,
        [service.name for service in system.services],
        servers,
        copies=broker_copies(environ),
        tls=tls,
        newest=newest_broker(environ, proven=identity is not None),
        proof=None if identity is None else nats_proof(system.name, identity, api=API),
    )
