"""Passwords, kept as Argon2id hashes; scrypt hashes of before are still read.

These functions block for a good part of a second and take 32 MiB. `outside.run` runs them in a
pool of their own, `PASSWORDS`, with few threads and a short queue.
"""

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from holdfast.security._jose import decode_base64url, encode_base64url
from holdfast.system import Pool

PASSWORD_BYTES_MAX = 1024
SALT_BYTES_MIN, SALT_BYTES_MAX = 16, 64

_HASH_BYTES = 32
_TO_URL, _FROM_URL = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class _Argon2id:
    """Argon2id's cost: m KiB of memory, gone through t times, in p lanes (RFC 9106)."""

    m: int
    t: int
    p: int
    form: ClassVar[re.Pattern[str]] = re.compile(
        r"\$argon2id\$v=19\$m=([0-9]{1,6}),t=([0-9]{1,2}),p=([0-9])"
        r"\$([A-Za-z0-9+/]{22,86})\$([A-Za-z0-9+/]{43})"
    )

    def is_bearable(self) -> bool:
        """Say whether it is no way to take gigabytes or minutes; below 8 KiB a lane it is none."""
        return 1 <= self.p <= 4 and 8 * self.p <= self.m <= 131_072 and 1 <= self.t <= 8

    def hash(self, password: bytes, salt: bytes) -> bytes:
        kdf = Argon2id(
            salt=salt, length=_HASH_BYTES, iterations=self.t, lanes=self.p, memory_cost=self.m
        )
        return kdf.derive(password)

    def text(self, salt: bytes, digest: bytes) -> str:
        """Return what is stored, in the usual form of password hashes: base64 without padding."""
        parts = (encode_base64url(part).translate(_FROM_URL) for part in (salt, digest))
        return f"$argon2id$v=19$m={self.m},t={self.t},p={self.p}${'$'.join(parts)}"


@dataclass(frozen=True, slots=True)
class _Scrypt:
    """scrypt's cost: 2**ln * r * 128 bytes of memory, filled p times (RFC 7914)."""

    ln: int
    r: int
    p: int
    form: ClassVar[re.Pattern[str]] = re.compile(
        r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})"
        r"\$([A-Za-z0-9_-]{22,86})\$([A-Za-z0-9_-]{43})"
    )
    memory_bytes_max: ClassVar[int] = 160 * 1024 * 1024  # the costliest that is bearable

    def is_bearable(self) -> bool:
        """Say whether it is no way to take gigabytes or minutes."""
        return 1 <= self.ln <= 17 and 1 <= self.r <= 8 and 1 <= self.p <= 16

    def hash(self, password: bytes, salt: bytes) -> bytes:
        return hashlib.scrypt(
            password,
            salt=salt,
            n=1 << self.ln,
            r=self.r,
            p=self.p,
            maxmem=self.memory_bytes_max,
            dklen=_HASH_BYTES,
        )


# Three times through 32 MiB: above the least that OWASP's Password Storage Cheat Sheet names (19
# MiB, twice), below RFC 9106's second choice (64 MiB, in four lanes), so that a few logins at once
# fit in a small pod. One lane, since the pool has a thread for each core that it may use.
_COST = _Argon2id(m=32_768, t=3, p=1)


PASSWORDS = Pool("passwords")
"""Where passwords are hashed; it computes, so it leaves a core to everything else."""


@PASSWORDS.runs
def hash_password(password: str, salt: bytes) -> str:
    """Return what to store: $argon2id$v=19$m=32768,t=3,p=1$salt$hash.

    Args:
        salt: 16..64 bytes, fresh for each password: `await outside.run(secrets.token_bytes, 16)`.
    Raises:
        ValueError: the password is empty or longer than 1024 bytes, or the salt is not 16..64.
    """
    if not SALT_BYTES_MIN <= len(salt) <= SALT_BYTES_MAX:
        raise ValueError(f"a salt has {SALT_BYTES_MIN}..{SALT_BYTES_MAX} bytes, got {len(salt)}")
    return _COST.text(salt, _COST.hash(_prepare(password), salt))


@PASSWORDS.runs
def password_matches(password: str, stored: str) -> bool:
    """Say whether this is the password that was stored; the comparison takes constant time.

    False as well for a password that `hash_password` would not take, and for a `stored` that it
    did not write, so "!" is a good mark for an account without a password. For a user who does
    not exist, compare with the hash of any password: otherwise the time tells.
    """
    parsed = _parse(stored)
    if parsed is None:
        return False
    cost, salt, expected = parsed
    try:
        digest = cost.hash(_prepare(password), salt)
    except ValueError:
        return False
    return hmac.compare_digest(digest, expected)


def is_outdated(stored: str) -> bool:
    """Say whether the hash was made in another way than today's; renew it at the login.

    A hash of scrypt is, which `hash_password` wrote before it came to Argon2id.
    """
    parsed = _parse(stored)
    return parsed is None or parsed[0] != _COST


def _prepare(password: str) -> bytes:
    # NFKC: the same password typed on another keyboard is the same (NIST SP 800-63B, 3.1.1.2).
    if not 1 <= len(password) <= PASSWORD_BYTES_MAX:
        raise ValueError(f"a password has 1..{PASSWORD_BYTES_MAX} bytes")
    data = unicodedata.normalize("NFKC", password).encode("utf-8")
    if len(data) > PASSWORD_BYTES_MAX:
        raise ValueError(f"a password has 1..{PASSWORD_BYTES_MAX} bytes")
    return data


def _parse(stored: str) -> tuple[_Argon2id | _Scrypt, bytes, bytes] | None:
    for kind in (_Argon2id, _Scrypt):
        if (match := kind.form.fullmatch(stored)) is None:
            continue
        cost = kind(*(int(number) for number in match.group(1, 2, 3)))
        if not cost.is_bearable():  # a stored cost is input too
            return None
        try:
            texts = (text.translate(_TO_URL) for text in match.group(4, 5))
            salt, digest = (decode_base64url(text.encode("ascii")) for text in texts)
        except ValueError:
            return None
        return cost, salt, digest
    return None
