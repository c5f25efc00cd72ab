"""What cert-manager makes of a Certificate, without it: a Secret, and later another one.

It issues what the object says and nothing else, so that what is missing there is missing in the
certificate; an Issuer with an authority issues by the key that its Secret has.
"""

import datetime
import re
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.delivery.kubelet.manifests import Key, Object, key_of

_LEAST_S = 3600
_UNITS = {"h": 3600, "m": 60, "s": 1}
_EXTENDED = {
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
}
_USAGES = {
    "digital signature": "digital_signature",
    "key encipherment": "key_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
}
_NO_USAGE = dict.fromkeys(
    (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ),
    False,
)
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class CertManager:
    """Issues the Certificates of some objects whose issuers are among them.

    Attributes:
        secrets: {where: the Secret that was made last}.
    """

    def __init__(self, objects: Iterable[Object]) -> None:
        given = list(objects)
        self._issuers = {key_of(o): o["spec"] for o in given if o["kind"] == "Issuer"}
        self._wanted = [o for o in given if o["kind"] == "Certificate" and self._is_here(o)]
        self.secrets: dict[tuple[str, str], Object] = {}
        for authority in sorted(self._wanted, key=lambda o: not o["spec"].get("isCA")):
            self.issue(authority)

    def rotate(self, *names: str) -> list[Object]:
        """Issue those of some names again, as at half of their life; return their Secrets."""
        return [self.issue(o) for o in self._wanted if o["metadata"]["name"] in names]

    def rotate_leaves(self) -> list[Object]:
        """Issue all again but the authorities."""
        return [self.issue(o) for o in self._wanted if not o["spec"].get("isCA")]

    def _is_here(self, wanted: Object) -> bool:
        return self._issuer(wanted) in self._issuers

    def _issuer(self, wanted: Object) -> Key:
        issuer = wanted["spec"]["issuerRef"]
        return Key(issuer.get("kind", "Issuer"), key_of(wanted).namespace, issuer["name"])

    def issue(self, wanted: Object) -> Object:
        """Return the Secret of a Certificate.

        Raises:
            ValueError: cert-manager would refuse it, or it says what is not known here.
        """
        spec, space = wanted["spec"], key_of(wanted).namespace
        key = _key(spec.get("privateKey") or {})
        issuer = self._issuers[self._issuer(wanted)]
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spec["commonName"])])
        if "selfSigned" in issuer:
            above, signing, authority = name, key, None
            builder = _builder(spec, name, above, key)
        else:
            authority = self.secrets[space, issuer["ca"]["secretName"]]["stringData"]
            own = x509.load_pem_x509_certificate(authority["tls.crt"].encode())
            found = load_pem_private_key(authority["tls.key"].encode(), None)
            assert isinstance(found, ec.EllipticCurvePrivateKey)
            above, signing = own.subject, found
            builder = _builder(spec, name, above, key).add_extension(_by(own), critical=False)
        made = builder.sign(signing, None if isinstance(signing, _Ed) else hashes.SHA256())
        leaf = made.public_bytes(Encoding.PEM).decode()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        files = {
            "tls.crt": leaf,
            "tls.key": private,
            "ca.crt": leaf if authority is None else authority["tls.crt"],
        }
        secret: Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": spec["secretName"], "namespace": space},
            "type": "kubernetes.io/tls",
            "stringData": files,
        }
        self.secrets[space, spec["secretName"]] = secret
        return secret


_Ed = ed25519.Ed25519PrivateKey


def _by(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return whose key has signed, as Go says it: what the authority itself calls its key."""
    named = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


def seconds(text: str) -> int:
    """Return a duration as Go writes it. Raises ValueError."""
    if not re.fullmatch(r"([0-9]+[hms])+", text):
        raise ValueError(f"no duration: {text!r}")
    return sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([hms])", text))


def _key(wanted: Object) -> Private:
    algorithm = wanted.get("algorithm", "RSA")
    if algorithm == "Ed25519":
        return _Ed.generate()
    if algorithm == "ECDSA" and wanted.get("size") == 256:
        return ec.generate_private_key(ec.SECP256R1())
    raise ValueError(f"such a key is not made here: {wanted}")


def _builder(
    spec: Object, name: x509.Name, above: x509.Name, key: Private
) -> x509.CertificateBuilder:
    life_s, before_s = seconds(spec["duration"]), seconds(spec["renewBefore"])
    if life_s < _LEAST_S or not 300 <= before_s < life_s:
        raise ValueError(f"refused: {life_s} s, renewed {before_s} s before")
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(one) for one in spec.get("dnsNames", [])]
    names += [x509.UniformResourceIdentifier(one) for one in spec.get("uris", [])]
    usages = spec.get("usages") or ["digital signature", "key encipherment"]
    authority = bool(spec.get("isCA"))
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(seconds=1))
        .not_valid_after(now + datetime.timedelta(seconds=life_s))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(
            x509.KeyUsage(**{**_NO_USAGE, **{_USAGES[u]: True for u in usages if u in _USAGES}}),
            critical=True,
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    if authority:  # as Go does, which cert-manager is written in
        of_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(of_key, critical=False)
    if extended := [_EXTENDED[one] for one in usages if one in _EXTENDED]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if unknown := [one for one in usages if one not in _USAGES and one not in _EXTENDED]:
        raise ValueError(f"usages that are not known here: {unknown}")
    return builder
