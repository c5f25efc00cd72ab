"""What is read of an X.509 certificate wherever one is looked at."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)
"""What `cryptography` raises of a certificate or a key that it cannot read."""


def uris_of(leaf: x509.Certificate) -> list[str]:
    """Return the URI SANs of a certificate. Raises one of UNREADABLE."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def fits(key: PrivateKeyTypes, leaf: x509.Certificate) -> bool:
    """Whether a key is that of a certificate. Raises one of UNREADABLE."""
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form) == leaf.public_key().public_bytes(*form)
