"""Every attack on signed tokens that we know of is refused, for the reason that it is one.

Sources: RFC 8725 and its revision, RFC 7515 section 10, RFC 9068 section 4, published CVEs of JWT
libraries. Each case differs in one thing from a token that is accepted.
"""

import hmac
import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast.errors import Unauthenticated
from holdfast.security import (
    REASONS,
    FixedKeys,
    Jwks,
    TokenPolicy,
    TokenRefused,
    TokenVerifier,
    read_jwks,
)

from .forge import (
    AUDIENCE,
    DIALECTS,
    ISSUER,
    KIDS,
    NOW_S,
    POLICY,
    ManualClock,
    b64,
    claims,
    header,
    private_key,
    public_jwk,
    signature,
    signed,
    speaking,
    token,
)

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
NESTED = "[" * 2000 + "]" * 2000
ED, EC, RS = private_key("EdDSA"), private_key("ES256"), private_key("RS256")
MALLORY = private_key("EdDSA", 66)
OCT_SECRET = b"an octet key in the published set"

HEADER_ATTACKS: dict[str, tuple[dict[str, Any], str]] = {
    "alg none": ({"alg": "none"}, "alg is not accepted"),
    "alg None": ({"alg": "None"}, "alg is not accepted"),
    "alg NONE": ({"alg": "NONE"}, "alg is not accepted"),
    "alg nOnE": ({"alg": "nOnE"}, "alg is not accepted"),
    "alg none with a space": ({"alg": " none"}, "alg is not accepted"),
    "alg in lower case": ({"alg": "eddsa"}, "alg is not accepted"),
    "alg with a space": ({"alg": "EdDSA "}, "alg is not accepted"),
    "alg empty": ({"alg": ""}, "alg is not accepted"),
    "alg missing": ({"alg": None}, "alg is not accepted"),
    "alg as a list": ({"alg": ["EdDSA"]}, "alg is not accepted"),
    "alg as an object": ({"alg": {"name": "EdDSA"}}, "alg is not accepted"),
    "alg as a number": ({"alg": 0}, "alg is not accepted"),
    "alg of another curve": ({"alg": "ES384"}, "alg is not accepted"),
    "alg Ed448": ({"alg": "Ed448"}, "alg is not accepted"),
    "alg of encryption": ({"alg": "RSA-OAEP"}, "alg is not accepted"),
    "alg PBES2": ({"alg": "PBES2-HS256+A128KW"}, "alg is not accepted"),
    "alg dir": ({"alg": "dir"}, "alg is not accepted"),
    "alg ES256 for an Ed25519 key": ({"alg": "ES256"}, "not the algorithm of the key"),
    "alg RS256 for an Ed25519 key": ({"alg": "RS256"}, "not the algorithm of the key"),
    "kid missing": ({"kid": None}, "kid is missing"),
    "kid empty": ({"kid": ""}, "kid is missing"),
    "kid as a number": ({"kid": 0}, "kid is missing"),
    "kid as a list": ({"kid": ["ed"]}, "kid is missing"),
    "kid that nobody has": ({"kid": "unknown"}, "not a key of the issuer"),
    "kid in other case": ({"kid": "ED"}, "not a key of the issuer"),
    "kid with NUL": ({"kid": "ed\x00"}, "not a key of the issuer"),
    "kid with a path": ({"kid": "../../../../dev/null"}, "not a key of the issuer"),
    "kid with SQL": ({"kid": "x' UNION SELECT 'secret' -- "}, "not a key of the issuer"),
    "kid with a command": ({"kid": "ed|/bin/true"}, "not a key of the issuer"),
    "kid as an address": ({"kid": "https://evil.example/key"}, "not a key of the issuer"),
    "kid that is no Unicode": ({"kid": "\ud800"}, "not a key of the issuer"),
    "kid of 4 KB": ({"kid": "k" * 4096}, "not a key of the issuer"),
    "jku": ({"jku": "https://evil.example/jwks.json"}, "the header has"),
    "jku of the issuer": ({"jku": f"{ISSUER}/jwks.json"}, "the header has"),
    "x5u": ({"x5u": "https://evil.example/cert.pem"}, "the header has"),
    "x5c": ({"x5c": ["MIIB"]}, "the header has"),
    "crit unknown": ({"crit": ["exp2"], "exp2": 1}, "the header has"),
    "crit of what we check": ({"crit": ["exp"], "exp": NOW_S}, "the header has"),
    "crit empty": ({"crit": []}, "the header has"),
    "b64 false": ({"b64": False}, "the header has"),
    "nested token": ({"cty": "JWT"}, "the header has"),
    "zip": ({"zip": "DEF"}, "the header has"),
    "enc": ({"enc": "A256GCM"}, "the header has"),
    "epk": ({"epk": {"kty": "OKP"}}, "the header has"),
    "p2c bomb": ({"p2c": 2_147_483_647, "p2s": "c2FsdA"}, "the header has"),
    "typ missing": ({"typ": None}, "typ is not"),
    "typ of any JWT": ({"typ": "JWT"}, "typ is not"),
    "typ of an ID token": ({"typ": "id_token+jwt"}, "typ is not"),
    "typ of a logout token": ({"typ": "logout+jwt"}, "typ is not"),
    "typ of a DPoP proof": ({"typ": "dpop+jwt"}, "typ is not"),
    "typ of a security event": ({"typ": "secevent+jwt"}, "typ is not"),
    "typ of a transaction token": ({"typ": "txntoken+jwt"}, "typ is not"),
    "typ with a space": ({"typ": "at+jwt "}, "typ is not"),
    "typ with a parameter": ({"typ": "at+jwt;v=1"}, "typ is not"),
    "typ with application twice": ({"typ": "application/application/at+jwt"}, "typ is not"),
    "typ as a list": ({"typ": ["at+jwt"]}, "typ is not"),
}

CLAIM_ATTACKS: dict[str, tuple[dict[str, Any], str]] = {
    "iss missing": ({"iss": None}, "iss is not"),
    "iss of another": ({"iss": "https://evil.example"}, "iss is not"),
    "iss with a slash": ({"iss": f"{ISSUER}/"}, "iss is not"),
    "iss in other case": ({"iss": ISSUER.upper()}, "iss is not"),
    "iss as a prefix": ({"iss": f"{ISSUER}.evil.example"}, "iss is not"),
    "iss as a list": ({"iss": [ISSUER, "https://evil.example"]}, "iss is not"),
    "aud missing": ({"aud": None}, "aud does not"),
    "aud of another": ({"aud": "https://other.example"}, "aud does not"),
    "aud empty": ({"aud": []}, "aud does not"),
    "aud with ours inside": ({"aud": f"{AUDIENCE}.evil.example"}, "aud does not"),
    "aud with two in one text": ({"aud": f"x {AUDIENCE}"}, "aud does not"),
    "aud as an object": ({"aud": {AUDIENCE: True}}, "aud does not"),
    "aud with a number": ({"aud": [AUDIENCE, 1]}, "aud does not"),
    "aud nested": ({"aud": [[AUDIENCE]]}, "aud does not"),
    "aud as a wildcard": ({"aud": "*"}, "aud does not"),
    "exp missing": ({"exp": None}, "exp is not a number"),
    "exp as a text": ({"exp": str(NOW_S + 600)}, "exp is not a number"),
    "exp as a fraction": ({"exp": NOW_S + 600.5}, "exp is not a number"),
    "exp as a whole float": ({"exp": float(NOW_S + 600)}, "exp is not a number"),
    "exp true": ({"exp": True}, "exp is not a number"),
    "exp as a list": ({"exp": [NOW_S + 600]}, "exp is not a number"),
    "exp negative": ({"exp": -1}, "exp is not a number"),
    "exp zero": ({"exp": 0}, "exp has passed"),
    "exp passed": ({"iat": NOW_S - 600, "exp": NOW_S - 60}, "exp has passed"),
    "exp at the end of the leeway": ({"iat": NOW_S - 9, "exp": NOW_S - 5}, "exp has passed"),
    "exp in milliseconds": ({"exp": (NOW_S + 600) * 1000}, "exp - iat"),
    "exp over 32 bits": ({"exp": 2**32 + NOW_S}, "exp - iat"),
    "exp over 64 bits": ({"exp": 2**64 + NOW_S}, "exp - iat"),
    "exp of 300 digits": ({"exp": 10**300}, "exp - iat"),
    "lifetime of a year": ({"exp": NOW_S + 31_536_000}, "exp - iat"),
    "lifetime one second too long": ({"exp": NOW_S + 86_401}, "exp - iat"),
    "exp before iat": ({"iat": NOW_S + 3, "exp": NOW_S + 2}, "exp - iat"),
    "iat missing": ({"iat": None}, "iat is not a number"),
    "iat as a text": ({"iat": str(NOW_S)}, "iat is not a number"),
    "iat in the future": ({"iat": NOW_S + 6}, "iat is in the future"),
    "nbf in the future": ({"nbf": NOW_S + 6}, "nbf is in the future"),
    "nbf over a minute ahead": ({"nbf": NOW_S + 61}, "nbf is in the future"),
    "nbf as a text": ({"nbf": "0"}, "nbf is not a number"),
    "nbf false": ({"nbf": False}, "nbf is not a number"),
    "nbf as a float": ({"nbf": 0.0}, "nbf is not a number"),
    "sub missing": ({"sub": None}, "sub is not a printable"),
    "sub empty": ({"sub": ""}, "sub is not a printable"),
    "sub as a number": ({"sub": 1}, "sub is not a printable"),
    "sub as a list": ({"sub": ["user-1", "admin"]}, "sub is not a printable"),
    "sub with a line break": ({"sub": "user-1\nadmin"}, "sub is not a printable"),
    "sub with NUL": ({"sub": "admin\x00"}, "sub is not a printable"),
    "sub that is no Unicode": ({"sub": "\ud800"}, "sub is not a printable"),
    "sub written backwards": ({"sub": "\u202enimda"}, "sub is not a printable"),
    "jti missing": ({"jti": None}, "jti is not a printable"),
    "jti empty": ({"jti": ""}, "jti is not a printable"),
    "jti as a number": ({"jti": 7}, "jti is not a printable"),
    "scope as a list with a number": ({"scope": ["admin", 1]}, "scope is not"),
    "scope as an object": ({"scope": {"admin": True}}, "scope is not"),
    "scope with a tab": ({"scope": "orders:read\tadmin"}, "scope is not"),
    "scope with two spaces": ({"scope": "orders:read  admin"}, "scope is not"),
    "scope with a space at the end": ({"scope": "admin "}, "scope is not"),
    "scope with a line break at the end": ({"scope": "admin\n"}, "scope is not"),
    "scope with a quote": ({"scope": 'orders:read"'}, "scope is not"),
    "scope beyond ASCII": ({"scope": "\u0430dmin"}, "scope is not"),
}


def text_attacks() -> dict[str, tuple[str | bytes, str | bytes, str]]:
    """Return {name: (header, claims, reason)} for the dialect that is spoken."""
    good_header, good_claims = json.dumps(header()), json.dumps(claims())
    return {
        "sub twice": (good_header, good_claims[:-1] + ', "sub": "admin"}', "a member twice"),
        "exp twice": (good_header, good_claims[:-1] + f', "exp": {NOW_S}}}', "a member twice"),
        "a member twice, escaped": (
            good_header,
            good_claims[:-1] + ', "s\\u0075b": "admin"}',
            "a member twice",
        ),
        "a member twice, deep down": (
            good_header,
            good_claims[:-1] + ', "act": {"sub": "a", "sub": "b"}}',
            "a member twice",
        ),
        "alg twice": (good_header[:-1] + ', "alg": "none"}', good_claims, "a member twice"),
        "kid twice": (good_header[:-1] + ', "kid": "rs"}', good_claims, "a member twice"),
        "claims in a list": (good_header, f"[{good_claims}]", "not a JSON object"),
        "claims in a text": (good_header, json.dumps(good_claims), "not a JSON object"),
        "claims null": (good_header, "null", "not a JSON object"),
        "claims twice": (good_header, good_claims * 2, "Extra data"),
        "claims not JSON": (good_header, "sub=admin", "Expecting value"),
        "claims with a comment": (good_header, good_claims + "//", "Extra data"),
        "claims with a BOM": (good_header, b"\xef\xbb\xbf" + good_claims.encode(), "BOM"),
        "claims in UTF-16": (good_header, good_claims.encode("utf-16-le"), "payload is not claims"),
        "claims not in UTF-8": (good_header, good_claims.encode() + b"\xff", "can't decode"),
        "claims with NaN": (good_header, good_claims[:-1] + ', "x": NaN}', "NaN is not JSON"),
        "exp infinite": (
            good_header,
            good_claims.replace(f"{NOW_S + 600}", "Infinity"),
            "is not JSON",
        ),
        "exp overflowing": (
            good_header,
            good_claims.replace(f"{NOW_S + 600}", "1e999"),
            "exp is not",
        ),
        "exp of 5000 digits": (good_header, good_claims[:-1] + f', "x": {"9" * 5000}}}', "Exceeds"),
        "claims nested 2000 deep": (
            good_header,
            f'{good_claims[:-1]}, "x": {NESTED}}}',
            "nested too deeply",
        ),
        "header in a list": (f"[{good_header}]", good_claims, "not a JSON object"),
        "header not JSON": ("alg=none", good_claims, "Expecting value"),
        "header not in UTF-8": (b"\xff" + good_header.encode(), good_claims, "can't decode"),
        "header nested 2000 deep": (f'{{"x": {NESTED}}}', "{}", "nested too deeply"),
        "header null": ("null", good_claims, "not a JSON object"),
    }


Forgery = Callable[[], str | bytes]
FORGERIES: dict[str, tuple[Forgery, str]] = {}


def forgery(name: str, reason: str) -> Callable[[Forgery], Forgery]:
    def register(make: Forgery) -> Forgery:
        FORGERIES[name] = (make, reason)
        return make

    return register


def resigned(good: str, forged: bytes) -> str:
    return f"{good.rpartition('.')[0]}.{b64(forged)}"


def mac(secret: bytes, algorithm: str = "HS256", kid: str = "rs") -> str:
    message = f"{b64(json.dumps(header(alg=algorithm, kid=kid)))}.{b64(json.dumps(claims()))}"
    name = algorithm.replace("HS", "sha")
    return f"{message}.{b64(hmac.new(secret, message.encode(), name).digest())}"


def es256(r: int, s: int) -> str:
    return resigned(token(header("ES256")), r.to_bytes(32, "big") + s.to_bytes(32, "big"))


@forgery("alg none, signature stripped", "alg is not accepted")
def _() -> str:
    return f"{b64(json.dumps(header(alg='none')))}.{b64(json.dumps(claims()))}."


@forgery("HMAC with the public key in PEM", "alg is not accepted")
def _() -> str:
    pem = RS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return mac(pem)


@forgery("HMAC with the public key in DER", "alg is not accepted")
def _() -> str:
    der = RS.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return mac(der)


@forgery("HMAC with the public JWK", "alg is not accepted")
def _() -> str:
    return mac(json.dumps(public_jwk(RS, "rs")).encode())


@forgery("HMAC with the raw Ed25519 key", "alg is not accepted")
def _() -> str:
    return mac(ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), kid="ed")


@forgery("HMAC-512 with the public key", "alg is not accepted")
def _() -> str:
    der = RS.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return mac(der, "HS512")


@forgery("HMAC with a weak secret", "alg is not accepted")
def _() -> str:
    return mac(b"secret")


@forgery("HMAC with an empty secret", "alg is not accepted")
def _() -> str:
    return mac(b"")


@forgery("HMAC with a symmetric key of the published set", "alg is not accepted")
def _() -> str:
    return mac(OCT_SECRET, kid="oct")


@forgery("HMAC under the name of EdDSA", "signature does not match")
def _() -> str:
    good = token()
    secret = ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return resigned(good, hmac.digest(secret, good.rpartition(".")[0].encode(), "sha512"))


@forgery("embedded jwk", "the header has")
def _() -> str:
    return token(header(jwk=public_jwk(MALLORY, "ed")), key=MALLORY)


@forgery("key of a stranger under our kid", "signature does not match")
def _() -> str:
    return token(key=MALLORY)


@forgery("key of a stranger under his kid", "not a key of the issuer")
def _() -> str:
    return token(header(kid="mallory"), key=MALLORY)


@forgery("our Ed25519 signature under our RSA kid", "not the algorithm of the key")
def _() -> str:
    return token(header(kid="rs"))


@forgery("published key that is for encryption", "not a key of the issuer")
def _() -> str:
    return token(header(kid="enc"), key=private_key("EdDSA", 1))


@forgery("published key whose private half is published too", "not a key of the issuer")
def _() -> str:
    return token(header(kid="leaked"), key=private_key("EdDSA", 2))


@forgery("published RSA key of 1024 bits", "not a key of the issuer")
def _() -> str:
    return token(header("RS256", kid="weak"), key=private_key("weak RS256"))


@forgery("RSA-PSS", "alg is not accepted")
def _() -> str:
    assert isinstance(RS, rsa.RSAPrivateKey)
    good = token(header("RS256", alg="PS256", kid="rs"))
    pss = padding.PSS(padding.MGF1(SHA256()), 32)
    return resigned(good, RS.sign(good.rpartition(".")[0].encode(), pss, SHA256()))


@forgery("RSA-PSS under the name of RS256", "signature does not match")
def _() -> str:
    assert isinstance(RS, rsa.RSAPrivateKey)
    good = token(header("RS256"))
    pss = padding.PSS(padding.MGF1(SHA256()), 32)
    return resigned(good, RS.sign(good.rpartition(".")[0].encode(), pss, SHA256()))


@forgery("RSA with another hash", "signature does not match")
def _() -> str:
    assert isinstance(RS, rsa.RSAPrivateKey)
    good = token(header("RS256"))
    return resigned(good, RS.sign(good.rpartition(".")[0].encode(), padding.PKCS1v15(), SHA512()))


@forgery("RSA signature of zeros", "signature does not match")
def _() -> str:
    return resigned(token(header("RS256")), bytes(256))


@forgery("RSA signature one", "signature does not match")
def _() -> str:
    return resigned(token(header("RS256")), bytes(255) + b"\x01")


@forgery("RSA signature with a zero in front", "signature does not match")
def _() -> str:
    good = token(header("RS256"))
    return resigned(good, b"\x00" + signature(RS, good.rpartition(".")[0].encode()))


@forgery("ECDSA r = s = 0", "signature does not match")
def _() -> str:
    return es256(0, 0)


@forgery("ECDSA r = 0", "signature does not match")
def _() -> str:
    return es256(0, 1)


@forgery("ECDSA s = 0", "signature does not match")
def _() -> str:
    return es256(1, 0)


@forgery("ECDSA r = s = 1", "signature does not match")
def _() -> str:
    return es256(1, 1)


@forgery("ECDSA r = s = the order", "signature does not match")
def _() -> str:
    return es256(P256_ORDER, P256_ORDER)


@forgery("ECDSA signature in DER", "signature does not match")
def _() -> str:
    assert isinstance(EC, ec.EllipticCurvePrivateKey)
    good = token(header("ES256"))
    return resigned(good, EC.sign(good.rpartition(".")[0].encode(), ec.ECDSA(SHA256())))


@forgery("ECDSA signature with zeros in front of r and s", "signature does not match")
def _() -> str:
    good = token(header("ES256"))
    raw = signature(EC, good.rpartition(".")[0].encode())
    return resigned(good, b"\x00" + raw[:32] + b"\x00" + raw[32:])


@forgery("ECDSA signature without the zero in front of s", "signature does not match")
def _() -> str:
    for number in range(10_000):
        good = token(header("ES256"), claims(jti=str(number)))
        raw = signature(EC, good.rpartition(".")[0].encode())
        if raw[32] == 0:
            return resigned(good, raw[:32] + raw[33:])
    raise AssertionError("one signature in 256 has a zero there")


@forgery("ECDSA signature empty", "signature does not match")
def _() -> str:
    return resigned(token(header("ES256")), b"")


@forgery("EdDSA signature with s + order", "signature does not match")
def _() -> str:
    good = token()
    raw = signature(ED, good.rpartition(".")[0].encode())
    s = int.from_bytes(raw[32:], "little") + ED25519_ORDER
    return resigned(good, raw[:32] + s.to_bytes(32, "little"))


@forgery("EdDSA signature of zeros", "signature does not match")
def _() -> str:
    return resigned(token(), bytes(64))


@forgery("EdDSA signature with a byte more", "signature does not match")
def _() -> str:
    good = token()
    return resigned(good, signature(ED, good.rpartition(".")[0].encode()) + b"\x00")


@forgery("EdDSA signature over the claims alone", "signature does not match")
def _() -> str:
    good = token()
    return resigned(good, signature(ED, good.split(".")[1].encode()))


@forgery("signature empty", "signature does not match")
def _() -> str:
    return resigned(token(), b"")


@forgery("signature cut short", "signature does not match")
def _() -> str:
    good = token()
    return resigned(good, signature(ED, good.rpartition(".")[0].encode())[:-16])


@forgery("signature with one bit changed", "signature does not match")
def _() -> str:
    good = token()
    raw = bytearray(signature(ED, good.rpartition(".")[0].encode()))
    raw[10] ^= 1
    return resigned(good, bytes(raw))


@forgery("signature of another good token", "signature does not match")
def _() -> str:
    other = token(body=claims(jti="token-2")).rpartition(".")[2]
    return f"{token().rpartition('.')[0]}.{other}"


@forgery("claims changed", "signature does not match")
def _() -> str:
    first, _, third = token().split(".")
    return f"{first}.{b64(json.dumps(claims(sub='admin')))}.{third}"


@forgery("header changed", "signature does not match")
def _() -> str:
    _, second, third = token().split(".")
    return f"{b64(json.dumps(header(x=1)))}.{second}.{third}"


@forgery("claims detached", "signature does not match")
def _() -> str:
    first, _, third = token().split(".")
    return f"{first}..{third}"


@forgery("signature dropped with its dot", "not a signed token")
def _() -> str:
    return token().rpartition(".")[0]


@forgery("four parts", "not a signed token")
def _() -> str:
    return token() + ".e30"


@forgery("five parts, as if encrypted", "not a signed token")
def _() -> str:
    return ".".join([b64(json.dumps({"alg": "dir", "enc": "A256GCM", "zip": "DEF"})), *"abcd"])


@forgery("flattened JSON serialisation", "not a signed token")
def _() -> str:
    first, second, third = token().split(".")
    return json.dumps({"protected": first, "payload": second, "signature": third})


@forgery("general JSON serialisation", "not a signed token")
def _() -> str:
    first, second, third = token().split(".")
    signatures = [{"protected": first, "signature": third}]
    return json.dumps({"payload": second, "signatures": signatures})


@forgery("polyglot of JSON and compact", "not a signed token")
def _() -> str:
    first, second, third = token().split(".")
    return f'{{"payload":"{second}","protected":"{first}","a":".{second}.{third}"}}'


@forgery("padding", "not base64url")
def _() -> str:
    first, second, third = token().split(".")
    return f"{first}.{second}.{third}=="


@forgery("alphabet of plain base64", "not base64url")
def _() -> str:
    good = token(header(x=">>>???~~~>>>???~~~"))
    assert {"-", "_"} & set(good.partition(".")[0])
    return good.replace("-", "+").replace("_", "/")


@forgery("stray bits in the signature", "stray bits")
def _() -> str:
    good = token()  # 64 bytes leave four unused bits in the last character
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return good[:-1] + alphabet[alphabet.index(good[-1]) + 1]


@forgery("length that no base64url has", "not a signed token")
def _() -> str:
    first, second, third = token().split(".")
    return f"{first}.{second}.{third[:-1]}"


@forgery("line break at the end", "not base64url")
def _() -> str:
    return token() + "\n"


@forgery("space in front", "not base64url")
def _() -> str:
    return " " + token()


@forgery("space inside", "not base64url")
def _() -> str:
    return token().replace(".", ". ", 1)


@forgery("NUL at the end", "not base64url")
def _() -> bytes:
    return token().encode() + b"\x00"


@forgery("bytes that are no text", "not base64url")
def _() -> bytes:
    return token().encode() + b"\xff"


@forgery("letter that looks like ours", "not a signed token")
def _() -> str:
    return token().replace("e", "\u0435", 1)


@forgery("text that is no Unicode", "not a signed token")
def _() -> str:
    return token() + "\ud800"


@forgery("scheme in the token", "not base64url")
def _() -> str:
    return "Bearer " + token()


@forgery("nothing", "not a signed token")
def _() -> str:
    return ""


@forgery("dots", "not a signed token")
def _() -> str:
    return ".."


@forgery("only a header", "signature does not match")
def _() -> str:
    return f"{b64(json.dumps(header()))}.."


@forgery("8193 bytes, well signed", "longer than 8192 bytes")
def _() -> str:
    short = token(body=claims(x=""))
    long = token(body=claims(x="x" * ((8193 - len(short)) * 3 // 4 + 2)))
    assert 8193 <= len(long) <= 8200
    return long


@forgery("1 MB", "longer than 8192 bytes")
def _() -> str:
    return "e" * 1_000_000


@forgery("1 MB of dots", "longer than 8192 bytes")
def _() -> bytes:
    return b"." * 1_000_000


@cache
def published() -> Jwks:
    """A set as careless issuers publish it: with keys that must not verify anything."""
    jwks = [public_jwk(private_key(algorithm), kid) for algorithm, kid in KIDS.items()]
    jwks += [
        {**public_jwk(private_key("EdDSA", 1), "enc"), "use": "enc"},
        {**public_jwk(private_key("EdDSA", 2), "leaked"), "d": b64(b"\x03" * 32)},
        public_jwk(private_key("weak RS256"), "weak"),
        {"kty": "oct", "kid": "oct", "k": b64(OCT_SECRET), "alg": "HS256"},
    ]
    return read_jwks({"keys": jwks})


LABELS = {
    "longer than": "too_long",
    "not a signed token": "malformed",
    "the payload is not claims": "malformed",
    "the header has": "header",
    "alg is not": "algorithm",
    "kid ": "kid",
    "typ is not": "typ",
    "the signature does not match": "signature",
    "iss is not": "issuer",
    "aud does not": "audience",
    "client_id does not": "audience",
    "exp has passed": "expired",
    "iat is in the future": "not_yet",
    "nbf is in the future": "not_yet",
    "exp - iat is not": "lifetime",
    "scope is not": "scope",
    "scp is not": "scope",
}
"""{how a refusal begins: its label}; any other is that of a claim."""


def label_of(cause: TokenRefused) -> str:
    """Return the label that a metric should show for what a log says."""
    said = [label for begins, label in LABELS.items() if str(cause).startswith(begins)]
    return said[0] if said else "claim"


async def assert_refused(forged: str | bytes, reason: str, policy: TokenPolicy = POLICY) -> None:
    verifier = TokenVerifier(policy, FixedKeys(published()), ManualClock())
    for algorithm in KIDS:
        await verifier.verify(token(header(algorithm)))  # what it is one step away from

    with pytest.raises(Unauthenticated, match="invalid or has expired") as caught:
        await verifier.verify(forged)

    cause = caught.value.__cause__
    assert isinstance(cause, TokenRefused)
    assert reason in str(cause)
    assert cause.reason in REASONS
    assert cause.reason == label_of(cause)
    assert len(str(cause)) < 300
    assert caught.value.headers == {
        "WWW-Authenticate": 'Bearer realm="api", error="invalid_token", '
        'error_description="the token is invalid or has expired"'
    }
    assert verifier.cached(forged) is None
    assert verifier.stats().refused == 1


@pytest.mark.parametrize("name", HEADER_ATTACKS)
async def test_header_attack(name: str) -> None:
    """A well signed token whose header is not ours is refused."""
    changes, reason = HEADER_ATTACKS[name]

    await assert_refused(token(header(**changes), key=ED), reason)


@pytest.mark.parametrize("name", CLAIM_ATTACKS)
async def test_claim_attack(name: str) -> None:
    """A well signed token that claims the wrong thing is refused."""
    changes, reason = CLAIM_ATTACKS[name]

    await assert_refused(token(body=claims(**changes)), reason)


@pytest.mark.parametrize("name", text_attacks())
async def test_text_attack(name: str) -> None:
    """A well signed token whose JSON two readers could read differently is refused."""
    head, body, reason = text_attacks()[name]

    await assert_refused(signed(head, body, ED), reason)


@pytest.mark.parametrize("name", FORGERIES)
async def test_forgery(name: str) -> None:
    """A token that its issuer did not sign, or not in this form, is refused."""
    make, reason = FORGERIES[name]

    await assert_refused(make(), reason)


def test_the_attacks_are_many_and_distinct() -> None:
    """The list does not shrink unnoticed, and no two forgeries are the same bytes."""
    names = [*HEADER_ATTACKS, *CLAIM_ATTACKS, *text_attacks(), *FORGERIES]

    assert len(set(names)) == len(names) >= 200
    assert len({make() for make, _ in FORGERIES.values()}) == len(FORGERIES)


NO_JTI = {"jti missing"}
NO_SCOPE = {name for name in CLAIM_ATTACKS if name.startswith("scope ")}
MEANT: dict[str, set[str]] = {
    "keycloak": {"typ of any JWT", *NO_JTI},
    "auth0": {"typ of any JWT", *NO_JTI},
    "entra": {
        *("typ of any JWT", "lifetime one second too long", "8193 bytes, well signed"),
        *NO_JTI,
    },
    "cognito": {"typ missing", *NO_JTI},
    "google": {"typ of any JWT", *NO_JTI, *NO_SCOPE},
    "every knob open": {
        *("typ of any JWT", "typ missing", "kid missing", "iat missing"),
        *("exp as a fraction", "exp as a whole float", "nbf as a float"),
    },
}
"""{dialect: what its knobs allow on purpose}; everything else is refused as it is by default."""


def every_attack() -> Iterator[tuple[str, str | bytes, str]]:
    """Yield (name, token, reason) of every attack, in the dialect that is spoken."""
    for name, (changes, reason) in HEADER_ATTACKS.items():
        yield name, token(header(**changes), key=ED), reason
    for name, (changes, reason) in CLAIM_ATTACKS.items():
        yield name, token(body=claims(**changes)), reason
    for name, (head, body, reason) in text_attacks().items():
        yield name, signed(head, body, ED), reason
    for name, (make, reason) in FORGERIES.items():
        yield name, make(), reason


@pytest.mark.parametrize("name", DIALECTS)
async def test_every_attack_on_every_preset(name: str) -> None:
    """What a preset opens it opens for its issuer's tokens, and for no attack beside."""
    meant = MEANT[name]
    with speaking(DIALECTS[name]) as dialect:
        attacks = list(every_attack())
        assert meant <= {attack for attack, _, _ in attacks}

        for attack, forged, reason in attacks:
            for plain, here in dialect.names.items():
                reason = reason.replace(f"{plain} ", f"{here} ")
            reason = reason.replace("8192", str(dialect.policy.max_token_bytes))
            if attack not in meant:
                await assert_refused(forged, reason, dialect.policy)


@pytest.mark.parametrize("name", DIALECTS)
async def test_what_a_preset_means_to_allow(name: str) -> None:
    """The exceptions from the attacks are good tokens, not mistakes of the list."""
    with speaking(DIALECTS[name]) as dialect:
        for attack, forged, _ in every_attack():
            if attack in MEANT[name]:
                judge = TokenVerifier(dialect.policy, FixedKeys(published()), ManualClock())
                assert (await judge.verify(forged)).subject == "user-1", attack
