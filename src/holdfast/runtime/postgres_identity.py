"""TLS of a Postgres of the data folder: what it shows, and whom it lets in by which certificate.

It reads a role from a certificate's common name, so a service is let in as the role of its name;
the migrator's certificate is that of all owners, by a map. Nothing else comes in over the network.
"""

import asyncio
import os
import pwd
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from holdfast.communication import LOOPBACK
from holdfast.contract.spiffe import MIGRATOR
from holdfast.engines.identity_files import IdentityFiles
from holdfast.runtime.postgres_roles import ADMINISTRATOR, owner_of
from holdfast.runtime.private_file import write_private

_FOLDER = "tls"  # in that of its data
_ASKS_FOR_TLS = b"\0\0\0\x08\x04\xd2\x16\x2f"
_OWNERS = "owners"


def who_may(
    services: Sequence[str],
    *,
    tls: bool,
    network: str = f"{LOOPBACK}/32",
    administrator: str = "scram-sha-256",
) -> dict[str, str]:
    """Return {file: text}: who may enter which database, and how; nobody else may.

    Args:
        tls: services come over the network, with certificates.
        network: from where they come. administrator: how he shows that he is it, at the socket.
    """
    entry, known, mapped = "local", "", "scram-sha-256"
    if tls:
        entry, known, mapped = "hostssl", f" {network}", f"cert map={_OWNERS}"
    own = "cert" if tls else mapped
    lines = [f"local all {ADMINISTRATOR} {administrator}"]
    for service in services:
        lines.append(f'{entry} "{service}" "{service}"{known} {own}')
        lines.append(f'{entry} "{service}" "{owner_of(service)}"{known} {mapped}')
    owners = [f'{_OWNERS} {MIGRATOR} "{owner_of(service)}"' for service in services]
    return {"pg_hba.conf": "\n".join([*lines, ""]), "pg_ident.conf": "\n".join([*owners, ""])}


def tls_settings(folder: str = _FOLDER) -> list[str]:
    """Return the words of its command line.

    Args:
        folder: of the files; a relative one is below its data.
    """
    settings = {
        "ssl": "on",
        "ssl_min_protocol_version": "TLSv1.3",
        "ssl_cert_file": f"{folder}/tls.crt",
        "ssl_key_file": f"{folder}/tls.key",
        "ssl_ca_file": f"{folder}/ca.crt",
    }
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def copy_identity(files: IdentityFiles, data: Path, user: pwd.struct_passwd | None) -> None:
    """Copy an identity below a server's data, for the user that it runs as."""
    folder = data / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    copies = {"tls.key": files.key, "tls.crt": files.certificate, "ca.crt": files.trusted}
    for name, path in copies.items():
        write_private(folder / name, path.read_bytes())
    if user is not None:
        for path in (folder, *(folder / name for name in copies)):
            os.chown(path, user.pw_uid, user.pw_gid)


def tls_url(role: str, database: str, port: int, shown: IdentityFiles) -> str:
    """Return where a role finds a database over TLS, with the certificate that it shows."""
    query = {
        "sslmode": "verify-full",
        "sslrootcert": str(shown.trusted),
        "sslcert": str(shown.certificate),
        "sslkey": str(shown.key),
        "ssl_min_protocol_version": "TLSv1.3",
    }
    return f"postgresql://{role}@{LOOPBACK}:{port}/{database}?{urlencode(query, safe='/')}"


async def served_certificate(port: int) -> bytes:
    """Return the certificate that a server shows now, as DER. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is compared
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(_ASKS_FOR_TLS)
        if await reader.read(1) != b"S":
            raise ConnectionError("it speaks in clear")
        await writer.start_tls(context)
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown
    finally:
        writer.close()
