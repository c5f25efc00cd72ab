"""Verification of transaction tokens. What was verified is remembered until it ends.

A token brings the certificate of its key. It counts for nothing until an authority that is trusted
now has issued it, to what signs for the gateway: no other key of the system will do.
"""

import base64
import datetime
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from holdfast.contract.certificate import uris_of
from holdfast.contract.spiffe import SIGNER, workload_of
from holdfast.ports import Clock
from holdfast.security._jose import decode_base64url, read_object
from holdfast.security.acceptance import TokenPolicy, TokenRefused
from holdfast.security.claims import read_claims
from holdfast.security.tokens import VerifierStats
from holdfast.security.transaction import (
    ALGORITHM,
    LEEWAY_S,
    LIFE_S,
    TOKEN_BYTES_MAX,
    TYPE,
    X5C_MAX,
    Purpose,
    TransactionClaims,
    TransactionRefused,
    trust_domain,
)
from holdfast.system import Caller

SIGNERS_MAX = 16
"""Headers of signers that are remembered: each gateway process has one, two while it rotates."""
_MEMBERS = {"typ", "alg", "x5c"}
_CLOCKS = (  # tokens live for two minutes, and gateways send none that is older
    f"; the gateway's clock and this one's differ by more than {LEEWAY_S // 60} minutes: "
    "set both by NTP"
)


@dataclass(frozen=True, slots=True)
class _KnownSigner:
    key: Ed25519PublicKey
    ends_s: float


@dataclass(frozen=True, slots=True)
class _RememberedTransaction:
    claims: TransactionClaims
    until_s: float


class TransactionVerifier:
    """Verifies the transaction tokens of one system.

    It remembers up to `cache_max` tokens by their SHA-256, the least recently used one goes first,
    and the certificates that they came with. All of that is forgotten when other authorities are
    trusted.

    Args:
        trusted: returns the authorities that are trusted now, as PEM; the same object while they
            are the same.
    """

    def __init__(
        self, system: str, trusted: Callable[[], bytes], clock: Clock, cache_max: int = 10_000
    ) -> None:
        self._system, self._trusted, self._now = system, trusted, clock.now
        domain = trust_domain(system)
        self._policy = TokenPolicy(
            domain,
            domain,
            algorithms=frozenset([ALGORITHM]),
            leeway_s=LEEWAY_S,
            max_lifetime_s=LIFE_S,
            client_claims=("client_id",),
            scope_claims=("scope",),
            scope_form="text",
        )
        self._cache_max = cache_max
        self._authorities = b""
        self._store: Store | None = None
        self._signers: OrderedDict[bytes, _KnownSigner] = OrderedDict()
        self._remembered: OrderedDict[bytes, _RememberedTransaction] = OrderedDict()
        self._hits = self._verified = self._refused = 0

    def verify(self, token: bytes) -> TransactionClaims:
        """Return what a token says, after every check but of its purpose.

        Raises:
            TransactionRefused: by a check; its text says which.
        """
        trusted = self._trusted()
        if trusted is not self._authorities:
            self._adopt(trusted)
        digest = sha256(token).digest()
        remembered = self._remembered.get(digest)
        now_s = self._now()
        if remembered is not None and now_s < remembered.until_s:
            self._remembered.move_to_end(digest)
            self._hits += 1
            return remembered.claims
        try:
            claims, signer = self._check(token, now_s)
        except TransactionRefused:
            self._remembered.pop(digest, None)
            self._refused += 1
            raise
        self._verified += 1
        until_s = min(claims.expires_at + LEEWAY_S, signer.ends_s)
        self._remembered[digest] = _RememberedTransaction(claims, until_s)
        if len(self._remembered) > self._cache_max:
            self._remembered.popitem(last=False)
        return claims

    def stats(self) -> VerifierStats:
        """Return how many tokens were known, verified and refused."""
        return VerifierStats(self._hits, self._verified, self._refused, len(self._remembered))

    def _adopt(self, trusted: bytes) -> None:
        if trusted != self._authorities:
            self._store = Store(x509.load_pem_x509_certificates(trusted))
            self._signers.clear()
            self._remembered.clear()
        self._authorities = trusted

    def _check(self, token: bytes, now_s: float) -> tuple[TransactionClaims, _KnownSigner]:
        if len(token) > TOKEN_BYTES_MAX:
            raise TransactionRefused("too_long", f"longer than {TOKEN_BYTES_MAX} bytes")
        try:
            first, second, third = token.split(b".")
            payload, signature = decode_base64url(second), decode_base64url(third)
        except ValueError as exc:
            raise TransactionRefused("malformed", f"not a signed token: {exc}") from exc
        signer = self._signer(first, now_s)
        try:
            signer.key.verify(signature, token[: len(first) + 1 + len(second)])
        except InvalidSignature:
            raise TransactionRefused("signature", "the signature does not match") from None
        return self._claims(payload, now_s), signer

    def _signer(self, header: bytes, now_s: float) -> _KnownSigner:
        """Return whose key signs under a header; the same header has the same key."""
        known = self._signers.get(header)
        if known is None or now_s >= known.ends_s:
            self._signers.pop(header, None)
            known = self._judged(_x5c(header), now_s)
            self._signers[header] = known
            if len(self._signers) > SIGNERS_MAX:
                self._signers.popitem(last=False)
        return known

    def _judged(self, chain: list[x509.Certificate], now_s: float) -> _KnownSigner:
        """Return the key of a certificate, if it is that of what signs for the gateway."""
        leaf, store = chain[0], self._store
        assert store is not None, "the authorities were adopted"
        # Whoever issues may be a little ahead of us, but nothing is taken after its end.
        try:
            begins_s = leaf.not_valid_before_utc.timestamp()
            at_s = max(now_s, min(begins_s, now_s + LEEWAY_S))
            at = datetime.datetime.fromtimestamp(at_s, datetime.UTC).replace(tzinfo=None)
            policy = PolicyBuilder().store(store).time(at).build_client_verifier()
            policy.verify(leaf, chain[1:])
            name = workload_of(uris_of(leaf), self._system)
            key = leaf.public_key()
        except (VerificationError, ValueError, UnsupportedAlgorithm) as exc:
            raise TransactionRefused("signer", f"its certificate is not ours: {exc}"[:300]) from exc
        if name != SIGNER:
            raise TransactionRefused("signer", f"its certificate is of {name}, which may not sign")
        if not isinstance(key, Ed25519PublicKey):
            raise TransactionRefused("signer", "the key of its certificate is not of Ed25519")
        ends_s = leaf.not_valid_after_utc.timestamp()
        if now_s >= ends_s:  # the last second of RFC 5280 belongs to it; to us it does not
            raise TransactionRefused("signer", "its certificate has ended")
        return _KnownSigner(key, ends_s)

    def _claims(self, payload: bytes, now_s: float) -> TransactionClaims:
        try:
            members = read_object(payload)
        except ValueError as exc:
            raise TransactionRefused("malformed", f"the payload is not claims: {exc}") from exc
        try:
            said = read_claims(members, self._policy, now_s, typ=TYPE)
        except TokenRefused as exc:
            told = f"{exc}{_CLOCKS}" if exc.reason in ("expired", "not_yet") else str(exc)
            raise TransactionRefused(exc.reason, told) from exc
        caller = Caller(said.subject, said.scopes | _further_scopes(members), said.client)
        return TransactionClaims(caller, _purpose(members), _text(members, "txn"), said.expires_at)


def _x5c(header: bytes) -> list[x509.Certificate]:
    """Return the certificates that the header of a token brings, its own first."""
    try:
        members = read_object(decode_base64url(header))
    except ValueError as exc:
        raise TransactionRefused("malformed", f"not a signed token: {exc}") from exc
    if members.keys() != _MEMBERS:
        names = sorted(ascii(name)[:20] for name in members)[:10]
        raise TransactionRefused("header", f"the header has {', '.join(names)}")
    if members["alg"] != ALGORITHM:
        raise TransactionRefused("algorithm", f"alg is not {ALGORITHM}: {_shown(members['alg'])}")
    if members["typ"] != TYPE:
        raise TransactionRefused("typ", f"typ is not {TYPE}: {_shown(members['typ'])}")
    x5c = members["x5c"]
    if not isinstance(x5c, list) or not 1 <= len(cast(list[object], x5c)) <= X5C_MAX:
        raise TransactionRefused("header", f"x5c is not a list of 1 to {X5C_MAX} certificates")
    try:
        return [_certificate(one) for one in cast(list[object], x5c)]
    except (ValueError, x509.InvalidVersion) as exc:
        raise TransactionRefused("header", f"x5c holds no certificate: {exc}"[:300]) from exc


def _certificate(text: object) -> x509.Certificate:
    """Read one certificate of `x5c`; it has one spelling. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError("not a text")
    content = base64.b64decode(text.encode("ascii"), validate=True)
    if base64.b64encode(content).decode() != text:
        raise ValueError("base64 with stray bits")
    return x509.load_der_x509_certificate(content)


def _purpose(members: Mapping[str, object]) -> Purpose:
    context = members.get("tctx")
    if not isinstance(context, dict):
        raise TransactionRefused("claim", f"tctx is not an object: {_shown(context)}")
    told = cast(Mapping[str, object], context)
    return Purpose(*(_text(told, name) for name in Purpose._fields))


def _further_scopes(members: Mapping[str, object]) -> frozenset[str]:
    """Return the scopes that no text of scopes can hold: each entry is one, and is never split."""
    listed = members.get("scopes", [])
    if not isinstance(listed, list):
        raise TransactionRefused("scope", f"scopes is not a list: {_shown(listed)}")
    entries = cast(list[object], listed)
    if not all(isinstance(one, str) and one.isprintable() and one for one in entries):
        raise TransactionRefused("scope", f"scopes is not a list of texts: {_shown(entries)}")
    return frozenset(cast(list[str], entries))


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise TransactionRefused("claim", f"{name} is not a printable text: {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return "missing" if value is None else ascii(value)[:100]
