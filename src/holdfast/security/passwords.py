"""Passwords, kept as scrypt hashes.

These functions block for a good part of a second and take 32 MiB. `outside.run` runs them in a
pool of their own, `PASSWORDS`, with few threads and a short queue.
"""

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass

from holdfast.security._jose import decode_base64url, encode_base64url
from holdfast.system import Pool

PASSWORD_BYTES_MAX = 1024
SALT_BYTES_MIN, SALT_BYTES_MAX = 16, 64

_HASH_BYTES = 32
_MEMORY_BYTES_MAX = 160 * 1024 * 1024  # the costliest parameters that `_parse` lets through
_FORM = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})\$([A-Za-z0-9_-]{22,86})\$([A-Za-z0-9_-]{43})"
)


@dataclass(frozen=True, slots=True)
class _Cost:
    """scrypt's cost: 2**ln * r * 128 bytes of memory, filled p times."""

    ln: int
    r: int
    p: int

    def hash(self, password: bytes, salt: bytes) -> bytes:
        return hashlib.scrypt(
            password,
            salt=salt,
            n=1 << self.ln,
            r=self.r,
            p=self.p,
            maxmem=_MEMORY_BYTES_MAX,
            dklen=_HASH_BYTES,
        )


# One of the equally strong choices of OWASP's Password Storage Cheat Sheet (2**15, 8, 3): it
# needs a quarter of the memory of the first one, so a few logins at once fit in a small pod.
_COST = _Cost(ln=15, r=8, p=3)


PASSWORDS = Pool("passwords")
"""Where passwords are hashed; it computes, so it leaves a core to everything else."""


@PASSWORDS.runs
def hash_password(password: str, salt: bytes) -> str:
    """Return what to store: $scrypt$ln=15,r=8,p=3$salt$hash, in base64url.

    Args:
        salt: 16..64 bytes, fresh for each password: `await outside.run(secrets.token_bytes, 16)`.
    Raises:
        ValueError: the password is empty or longer than 1024 bytes, or the salt is not 16..64.
    """
    if not SALT_BYTES_MIN <= len(salt) <= SALT_BYTES_MAX:
        raise ValueError(f"a salt has {SALT_BYTES_MIN}..{SALT_BYTES_MAX} bytes, got {len(salt)}")
    digest = _COST.hash(_prepare(password), salt)
    parameters = f"ln={_COST.ln},r={_COST.r},p={_COST.p}"
    return f"$scrypt${parameters}${encode_base64url(salt)}${encode_base64url(digest)}"


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
    """Say whether the hash was made with other parameters than today's; renew it at the login."""
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


def _parse(stored: str) -> tuple[_Cost, bytes, bytes] | None:
    match = _FORM.fullmatch(stored)
    if match is None:
        return None
    cost = _Cost(*(int(number) for number in match.group(1, 2, 3)))
    # A stored cost is input too: it must not make us take gigabytes or minutes.
    if not (1 <= cost.ln <= 17 and 1 <= cost.r <= 8 and 1 <= cost.p <= 16):
        return None
    try:
        salt, digest = (decode_base64url(text.encode("ascii")) for text in match.group(4, 5))
    except ValueError:
        return None
    return cost, salt, digest
