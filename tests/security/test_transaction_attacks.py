"""Every attack on transaction tokens that we know of is refused, for the reason that it is one.

Each case differs in one thing from a token that is accepted. Where the token is for another route,
or there are several: tests/dispatch/test_signed_callers.py.
"""

import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from functools import cache
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast.security import (
    TRANSACTION_REASONS,
    Authority,
    Purpose,
    SigningKey,
    TokenSigner,
    TransactionRefused,
    TransactionSigner,
    TransactionVerifier,
)
from holdfast.security.transaction import X5C_MAX
from holdfast.security.transaction_verifier import SIGNERS_MAX
from holdfast.system import Caller
from tests.security.forge import NOW_S, ManualClock, b64
from tests.security.transactions import CLAIMS, SIGNER, SYSTEM, Forge, der

Attack = Callable[[Forge], bytes]
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
P256 = ec.generate_private_key(ec.SECP256R1())
MALLORY = ed25519.Ed25519PrivateKey.generate()
PURPOSE = Purpose("oven", "GET", "/v1/bread/{}")
DOMAIN = f"spiffe://{SYSTEM}"


@cache
def forge() -> Forge:
    return Forge()


def verifier(clock: ManualClock | None = None, trusted: bytes | None = None) -> TransactionVerifier:
    pem = forge().trusted if trusted is None else trusted
    return TransactionVerifier(SYSTEM, lambda: pem, clock or ManualClock())


# -- whose key and whose certificate ---------------------------------------------------------------


def certified(*uris: str, **how: Any) -> Attack:
    """Return an attack by a certificate that is not that of what signs."""
    key = how.get("key")

    def attack(forge: Forge) -> bytes:
        return forge.token(chain=[forge.certificate(*uris, **how)], key=key)

    return attack


def by_another_authority(forge: Forge) -> bytes:
    other = Forge()  # of the same name
    return other.token()


def with_another_authority(forge: Forge) -> bytes:
    other = Forge()
    return other.token(chain=[other.good(), other.own])


def self_signed(forge: Forge) -> bytes:
    own = forge.certificate(SIGNER, key=MALLORY, by=(forge.own, MALLORY))
    return forge.token(chain=[own], key=MALLORY)


def by_a_service_as_authority(forge: Forge) -> bytes:
    """A service's own certificate, which is good, is made to stand between."""
    service = forge.certificate(f"{DOMAIN}/oven", key=P256)
    made = forge.certificate(SIGNER, key=MALLORY, by=(service, P256))
    return forge.token(chain=[made, service], key=MALLORY)


def of_the_authority_itself(forge: Forge) -> bytes:
    return forge.token(chain=[forge.own])


def with_two_of_each_name(forge: Forge) -> bytes:
    def twice(made: x509.CertificateBuilder) -> x509.CertificateBuilder:
        names = [x509.UniformResourceIdentifier(f"{DOMAIN}/oven")]
        return made.add_extension(x509.IssuerAlternativeName(names), critical=True)

    return forge.token(chain=[forge.certificate(SIGNER, change=twice)])


def own_key_under_the_good_certificate(forge: Forge) -> bytes:
    return forge.token(key=MALLORY)


def good_certificate_second(forge: Forge) -> bytes:
    own = forge.certificate(f"{DOMAIN}/oven", key=MALLORY)
    return forge.token(chain=[own, forge.good()], key=MALLORY)


CERTIFICATES: dict[str, tuple[Attack, str]] = {
    "stolen certificate of a service": (certified(f"{DOMAIN}/oven", key=P256), "signer"),
    "stolen certificate of a service, on Ed25519": (certified(f"{DOMAIN}/oven"), "signer"),
    "certificate of the gateway's TLS": (certified(f"{DOMAIN}/gateway"), "signer"),
    "certificate of an operator": (certified(f"{DOMAIN}/operator"), "signer"),
    "certificate of everything": (certified(f"{DOMAIN}/all"), "signer"),
    "name with more at its end": (certified(f"{SIGNER}/more"), "signer"),
    "name with a slash": (certified(f"{SIGNER}/"), "signer"),
    "name in capitals": (certified(SIGNER.upper()), "signer"),
    "name of another system": (certified("spiffe://other/gateway/tokens"), "signer"),
    "name of a longer system": (certified(f"{DOMAIN}.evil.example/gateway/tokens"), "signer"),
    "name by https": (certified(SIGNER.replace("spiffe", "https")), "signer"),
    "name as a DNS SAN": (certified(dns=["gateway"]), "signer"),
    "two names": (certified(SIGNER, f"{DOMAIN}/oven"), "signer"),
    "two names, ours last": (certified(f"{DOMAIN}/oven", SIGNER), "signer"),
    "the name twice": (certified(SIGNER, SIGNER), "signer"),
    "no name": (certified(), "signer"),
    "expired": (certified(SIGNER, ends_s=NOW_S - 1), "signer"),
    "not yet valid": (certified(SIGNER, begins_s=NOW_S + 601), "signer"),
    "a key of P-256": (certified(SIGNER, key=P256), "signer"),
    "a key of Ed448": (certified(SIGNER, key=ed448.Ed448PrivateKey.generate()), "signer"),
    "an extension that is critical and unknown": (with_two_of_each_name, "signer"),
    "another authority of the same name": (by_another_authority, "signer"),
    "another authority brought along": (with_another_authority, "signer"),
    "self-signed": (self_signed, "signer"),
    "a service as an authority": (by_a_service_as_authority, "signer"),
    "the authority itself": (of_the_authority_itself, "signer"),
    "good certificate second": (good_certificate_second, "signer"),
    "good certificate, another key": (own_key_under_the_good_certificate, "signature"),
}

# -- what is in the header -------------------------------------------------------------------------


def x5c(change: Callable[[str], object]) -> Attack:
    """Return an attack whose `x5c` is made of the good certificate's text."""
    return lambda forge: forge.token({"x5c": change(der(forge.good()))})


def hmac_by_the_public_key(forge: Forge) -> bytes:
    """The key that everybody knows is taken for a shared secret."""
    good = forge.good()
    secret = good.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = forge.token({"alg": "HS256"}, chain=[good])
    message = token.rpartition(b".")[0]
    return message + b"." + b64(hmac.digest(secret, message, "sha256")).encode()


def stray_bits(forge: Forge) -> bytes:
    """The same certificate, spelt in another way that a lenient reader takes."""
    while not (good := der(forge.good())).endswith("="):  # its length is drawn
        pass
    text = good.rstrip("=")
    padding = good[len(text) :]
    digits = f"{ascii_uppercase}{ascii_lowercase}0123456789+/"
    other = digits[digits.index(text[-1]) + 1]
    return forge.token({"x5c": [text[:-1] + other + padding]})


def alg(value: object) -> Attack:
    return lambda forge: forge.token({"alg": value})


def typ(value: object) -> Attack:
    return lambda forge: forge.token({"typ": value})


def member(name: str, value: object) -> Attack:
    return lambda forge: forge.token({name: value})


def without_signature(forge: Forge) -> bytes:
    return forge.token({"alg": "none"}).rpartition(b".")[0] + b"."


def twice_in_the_header(forge: Forge) -> bytes:
    header = {"typ": "txntoken+jwt", "alg": "EdDSA", "x5c": [der(forge.good())]}
    text = json.dumps(header)[:-1] + ', "alg": "EdDSA"}'
    return forge.signed(text.encode(), json.dumps(CLAIMS).encode())


HEADERS: dict[str, tuple[Attack, str]] = {
    "alg none, unsigned": (without_signature, "algorithm"),
    "alg none, signed": (alg("none"), "algorithm"),
    "alg HS256 by the public key": (hmac_by_the_public_key, "algorithm"),
    "alg ES256": (alg("ES256"), "algorithm"),
    "alg RS256": (alg("RS256"), "algorithm"),
    "alg Ed448": (alg("Ed448"), "algorithm"),
    "alg in lower case": (alg("eddsa"), "algorithm"),
    "alg as a list": (alg(["EdDSA"]), "algorithm"),
    "alg missing": (alg(None), "header"),
    "typ of an access token": (typ("at+jwt"), "typ"),
    "typ of any token": (typ("JWT"), "typ"),
    "typ in capitals": (typ("TXNTOKEN+JWT"), "typ"),
    "typ with application": (typ("application/txntoken+jwt"), "typ"),
    "typ as a list": (typ(["txntoken+jwt"]), "typ"),
    "typ missing": (typ(None), "header"),
    "x5c missing": (x5c(lambda good: None), "header"),
    "x5c empty": (x5c(lambda good: []), "header"),
    "x5c as a text": (x5c(lambda good: good), "header"),
    "x5c as an object": (x5c(lambda good: {"0": good}), "header"),
    "x5c of five": (x5c(lambda good: [good] * 5), "header"),
    "x5c of numbers": (x5c(lambda good: [1]), "header"),
    "x5c that is no certificate": (x5c(lambda good: ["MIIB"]), "header"),
    "x5c cut short": (x5c(lambda good: [good[:-8]]), "header"),
    "x5c in two lines": (x5c(lambda good: [f"{good[:64]}\n{good[64:]}"]), "header"),
    "x5c with a character more": (x5c(lambda good: [f"{good}A"]), "header"),
    "x5c with stray bits": (stray_bits, "header"),
    "x5c beyond ASCII": (x5c(lambda good: [f"é{good}"]), "header"),
    "jwk beside it": (member("jwk", {"kty": "OKP", "crv": "Ed25519", "x": "AA"}), "header"),
    "jku beside it": (member("jku", "https://evil.example/keys"), "header"),
    "x5u beside it": (member("x5u", "https://evil.example/key.pem"), "header"),
    "kid beside it": (member("kid", "1"), "header"),
    "crit": (member("crit", ["exp"]), "header"),
    "b64 false": (member("b64", False), "header"),
    "zip": (member("zip", "DEF"), "header"),
    "a member of the header twice": (twice_in_the_header, "malformed"),
}

# -- what is in the claims -------------------------------------------------------------------------


def claims(**changes: object) -> Attack:
    return lambda forge: forge.token(claims=changes)


def payload(change: Callable[[str], str | bytes]) -> Attack:
    """Return an attack whose payload is made of the good one's text, and signed."""

    def attack(forge: Forge) -> bytes:
        header = {"typ": "txntoken+jwt", "alg": "EdDSA", "x5c": [der(forge.good())]}
        made = change(json.dumps(CLAIMS))
        content = made if isinstance(made, bytes) else made.encode()
        return forge.signed(json.dumps(header).encode(), content)

    return attack


ROUTE = {"service": "oven", "method": "GET", "route": "/v1/bread/{}"}
SAID: dict[str, tuple[Attack, str]] = {
    "iss missing": (claims(iss=None), "issuer"),
    "iss of another system": (claims(iss="spiffe://other"), "issuer"),
    "iss of the users' issuer": (claims(iss="https://issuer.example"), "issuer"),
    "aud missing": (claims(aud=None), "audience"),
    "aud of another system": (claims(aud="spiffe://other"), "audience"),
    "aud of the users' tokens": (claims(aud="api"), "audience"),
    "aud as a list of others": (claims(aud=["spiffe://other", "api"]), "audience"),
    "exp missing": (claims(exp=None), "claim"),
    "exp as a text": (claims(exp=str(NOW_S + 60)), "claim"),
    "exp passed": (claims(iat=NOW_S - 900, exp=NOW_S - 800), "expired"),
    "exp at the end of the leeway": (claims(iat=NOW_S - 700, exp=NOW_S - 600), "expired"),
    "life of a day": (claims(exp=NOW_S + 86_400), "lifetime"),
    "life one second too long": (claims(exp=NOW_S + 121), "lifetime"),
    "exp before iat": (claims(iat=NOW_S + 2, exp=NOW_S + 1), "lifetime"),
    "iat missing": (claims(iat=None), "claim"),
    "iat in the future": (claims(iat=NOW_S + 601, exp=NOW_S + 661), "not_yet"),
    "nbf in the future": (claims(nbf=NOW_S + 601), "not_yet"),
    "sub missing": (claims(sub=None), "claim"),
    "sub empty": (claims(sub=""), "claim"),
    "sub as a number": (claims(sub=1), "claim"),
    "sub with a line break": (claims(sub="ada\r\nholdfast-caller: eve"), "claim"),
    "sub with NUL": (claims(sub="ada\0"), "claim"),
    "client with NUL": (claims(client_id="\0"), "claim"),
    "scope as a list": (claims(scope=["bread:eat"]), "scope"),
    "scope with two spaces": (claims(scope="bread:eat  admin"), "scope"),
    "scopes as a text": (claims(scopes="admin"), "scope"),
    "scopes of numbers": (claims(scopes=[1]), "scope"),
    "scopes with a line break": (claims(scopes=["a\nb"]), "scope"),
    "txn missing": (claims(txn=None), "claim"),
    "txn as a list": (claims(txn=["1"]), "claim"),
    "route missing": (claims(tctx=None), "claim"),
    "route as a text": (claims(tctx="GET /v1/bread/{}"), "claim"),
    "route of a list": (claims(tctx=[ROUTE]), "claim"),
    "route without a service": (claims(tctx={**ROUTE, "service": None}), "claim"),
    "route without a method": (claims(tctx={"service": "oven", "route": "/"}), "claim"),
    "route as a wildcard list": (claims(tctx={**ROUTE, "route": ["*"]}), "claim"),
    "a claim twice": (payload(lambda text: text[:-1] + ', "sub": "eve"}'), "malformed"),
    "a route twice": (
        payload(lambda text: text.replace('"tctx": {', '"tctx": {"service": "oven", ')),
        "malformed",
    ),
    "claims as a list": (payload(lambda text: f"[{text}]"), "malformed"),
    "claims with NaN": (payload(lambda text: text[:-1] + ', "x": NaN}'), "malformed"),
    "claims in UTF-16": (payload(lambda text: text.encode("utf-16")), "malformed"),
    "claims with a byte order mark": (
        payload(lambda text: b"\xef\xbb\xbf" + text.encode()),
        "malformed",
    ),
    "claims nested deeply": (
        payload(lambda text: text[:-1] + f', "x": {"[" * 2000}{"]" * 2000}}}'),
        "malformed",
    ),
    "no claims": (payload(lambda text: ""), "malformed"),
}

# -- the bytes -------------------------------------------------------------------------------------


def part(number: int, change: Callable[[bytes], bytes]) -> Attack:
    """Return an attack that changes one part of a good token: header, payload or signature."""

    def attack(forge: Forge) -> bytes:
        parts = forge.token().split(b".")
        parts[number] = change(parts[number])
        return b".".join(parts)

    return attack


def whole(change: Callable[[bytes], bytes]) -> Attack:
    return lambda forge: change(forge.token())


def signature_of_another(forge: Forge) -> bytes:
    first, other = forge.token(), forge.token(claims={"sub": "eve"})
    return other.rpartition(b".")[0] + b"." + first.rpartition(b".")[2]


def other_claims_under_the_signature(forge: Forge) -> bytes:
    parts = forge.token().split(b".")
    parts[1] = b64(json.dumps({**CLAIMS, "scope": "admin"}).encode()).encode()
    return b".".join(parts)


def malleable(forge: Forge) -> bytes:
    """The same signature, with the group's order added to its second half."""
    head, _, last = forge.token().rpartition(b".")
    signature = urlsafe_b64decode(last + b"==")
    s = int.from_bytes(signature[32:], "little") + ED25519_ORDER
    return head + b"." + b64(signature[:32] + s.to_bytes(32, "little")).encode()


def token_of_a_user(forge: Forge) -> bytes:
    """What a client sends, in the place of what the gateway makes of it."""
    signer = TokenSigner(SigningKey(bytes(32)), issuer=DOMAIN, audience=DOMAIN)
    return signer.sign("ada", ["admin"], now=NOW_S, lifetime_s=60, token_id="1").encode()


def as_json(forge: Forge) -> bytes:
    first, second, third = forge.token().decode().split(".")
    return json.dumps({"protected": first, "payload": second, "signature": third}).encode()


BYTES: dict[str, tuple[Attack, str]] = {
    "nothing": (whole(lambda token: b""), "malformed"),
    "two parts": (whole(lambda token: token.rpartition(b".")[0]), "malformed"),
    "four parts": (whole(lambda token: token + b".AA"), "malformed"),
    "five parts": (whole(lambda token: token + b".AA.AA"), "malformed"),
    "Bearer before it": (whole(lambda token: b"Bearer " + token), "malformed"),
    "a space after it": (whole(lambda token: token + b" "), "malformed"),
    "two with a comma": (whole(lambda token: token + b", " + token), "malformed"),
    "beyond ASCII": (whole(lambda token: "é".encode() + token), "malformed"),
    "a NUL after it": (whole(lambda token: token + b"\0"), "malformed"),
    "JSON serialisation": (as_json, "malformed"),
    "a user's token": (token_of_a_user, "header"),
    "16 KiB": (whole(lambda token: token + b"A" * 16_384), "too_long"),
    "header with padding": (part(0, lambda text: text + b"="), "malformed"),
    "payload with padding": (part(1, lambda text: text + b"="), "malformed"),
    "signature with padding": (part(2, lambda text: text + b"=="), "malformed"),
    "signature with stray bits": (part(2, lambda text: text[:-1] + b"_"), "malformed"),
    "signature empty": (part(2, lambda text: b""), "signature"),
    "signature of zeros": (part(2, lambda text: b"A" * 86), "signature"),
    "signature cut": (part(2, lambda text: text[:-2]), "signature"),
    "signature longer": (part(2, lambda text: b"AAAA" + text), "signature"),
    "signature of another token": (signature_of_another, "signature"),
    "signature made malleable": (malleable, "signature"),
    "other claims under it": (other_claims_under_the_signature, "signature"),
}

ATTACKS = CERTIFICATES | HEADERS | SAID | BYTES


def test_there_are_as_many_as_promised() -> None:
    """Sixty at least, and every reason that a token itself can be refused for is among them."""
    assert len(ATTACKS) == sum(map(len, (CERTIFICATES, HEADERS, SAID, BYTES)))
    assert len(ATTACKS) >= 60
    of_requests = {"missing", "several", "unsigned", "route"}
    assert {reason for _, reason in ATTACKS.values()} == {*TRANSACTION_REASONS} - of_requests


def test_the_token_that_they_are_made_of_is_taken() -> None:
    """Otherwise each would be refused for nothing."""
    said = verifier().verify(forge().token())

    assert (said.caller.subject, said.caller.client) == ("ada", "web")
    assert said.caller.scopes == {"bread:eat", "bread:read"}
    assert said.purpose == ("oven", "GET", "/v1/bread/{}")
    assert said.transaction == CLAIMS["txn"]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(name: str) -> None:
    """For its reason, twice the same, and nothing of it is remembered."""
    attack, reason = ATTACKS[name]
    token = attack(forge())
    judge = verifier()

    for _ in range(2):
        with pytest.raises(TransactionRefused) as refused:
            judge.verify(token)
        assert refused.value.reason == reason
        assert len(str(refused.value)) < 500

    assert judge.stats().remembered == 0
    assert judge.stats().refused == 2


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_by_who_knows_the_good_token(name: str) -> None:
    """What is remembered of the good one, its signer too, does not help a bad one."""
    attack, reason = ATTACKS[name]
    judge = verifier()
    judge.verify(forge().token())

    with pytest.raises(TransactionRefused) as refused:
        judge.verify(attack(forge()))

    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("off_s", "good"), [(-600, True), (-601, False), (0, True), (719, True), (720, False)]
)
def test_clocks_may_differ_by_the_leeway(off_s: int, good: bool) -> None:
    """The service's clock goes behind or ahead of the gateway's, which says 120 seconds."""
    clock = ManualClock()
    clock.wall_s += off_s
    judge = verifier(clock)
    token = forge().token(chain=[forge().certificate(SIGNER, begins_s=NOW_S)])

    if good:
        assert judge.verify(token).caller.subject == "ada"
    else:
        with pytest.raises(TransactionRefused):
            judge.verify(token)


@pytest.mark.parametrize(("ends_s", "good_s"), [(3600, 720), (45, 45)])
def test_what_is_remembered_ends(ends_s: int, good_s: int) -> None:
    """With the token and the leeway, or with the certificate, without it."""
    clock = ManualClock()
    judge = verifier(clock)
    token = forge().token(chain=[forge().certificate(SIGNER, ends_s=NOW_S + ends_s)])
    judge.verify(token)

    clock.advance(good_s - 1)
    assert judge.verify(token).caller.subject == "ada"
    assert judge.stats().hits == 1
    clock.advance(1)
    with pytest.raises(TransactionRefused):
        judge.verify(token)
    assert judge.stats().remembered == 0


def test_only_so_many_are_remembered() -> None:
    """Tokens and signers: whoever has a key of the gateway's fills nobody's memory."""
    judge = TransactionVerifier(SYSTEM, lambda: forge().trusted, ManualClock(), cache_max=3)
    tokens = [forge().token() for _ in range(20)]  # each brings a certificate of its own
    for token in tokens:
        judge.verify(token)

    assert judge.stats().remembered == 3
    assert len(judge._signers) == SIGNERS_MAX
    assert judge.verify(tokens[0]).caller.subject == "ada"


def test_an_authority_that_is_trusted_no_more_has_its_tokens_refused() -> None:
    """What was verified under it is forgotten at once."""
    other = Authority.new(SYSTEM, now_s=NOW_S - 3600)
    trusted = [forge().trusted]
    judge = TransactionVerifier(SYSTEM, lambda: trusted[0], ManualClock())
    token = forge().token()
    judge.verify(token)

    trusted[0] = forge().trusted + other.certificate
    assert judge.verify(token).caller.subject == "ada"
    trusted[0] = other.certificate

    with pytest.raises(TransactionRefused, match="certificate"):
        judge.verify(token)
    assert judge.stats().remembered == 0


@pytest.mark.parametrize("less", [0, 1])
@pytest.mark.parametrize("side", ["transaction", "transaction_verifier"])
def test_a_token_may_be_so_long(side: str, less: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the byte: what signs makes no longer one, and a service reads none."""
    signer, caller = forge().signer(), Caller("ada", frozenset({"bread:eat"}))

    def sign() -> bytes:
        return signer.sign(caller, PURPOSE, transaction="1", now_s=NOW_S, until_s=NOW_S + 60)

    token = sign()
    monkeypatch.setattr(f"holdfast.security.{side}.TOKEN_BYTES_MAX", len(token) - less)
    if side == "transaction" and less:
        with pytest.raises(ValueError, match=f"has {len(token)} bytes, over {len(token) - 1}"):
            sign()
    elif less:
        with pytest.raises(TransactionRefused) as refused:
            verifier().verify(token)
        assert refused.value.reason == "too_long"
    else:
        assert sign() == token
        assert verifier().verify(token).caller == caller


def test_so_many_certificates_are_brought() -> None:
    """Four; with one more nothing signs, and no service looks at them."""
    good = forge().good()
    four = forge().token(chain=[good] * X5C_MAX)

    assert verifier().verify(four)
    assert TransactionSigner(SYSTEM, forge().key, [good] * X5C_MAX)
    with pytest.raises(TransactionRefused, match="1 to 4 certificates"):
        verifier().verify(forge().token(chain=[good] * (X5C_MAX + 1)))
    with pytest.raises(ValueError, match="5 certificates, over 4"):
        TransactionSigner(SYSTEM, forge().key, [good] * (X5C_MAX + 1))
