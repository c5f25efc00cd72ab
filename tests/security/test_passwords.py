"""Passwords are kept so that they can be checked and not read."""

import hashlib

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from holdfast.security import hash_password, is_outdated, password_matches

from .forge import b64

SALT = bytes(range(16))
STORED = hash_password("correct horse", SALT)


def cheap(password: bytes = b"pw", parameters: str = "ln=4,r=1,p=1", salt: bytes = SALT) -> str:
    """Return a hash with parameters that cost nothing, in our form."""
    digest = hashlib.scrypt(password, salt=salt, n=16, r=1, p=1, dklen=32)
    return f"$scrypt${parameters}${b64(salt)}${b64(digest)}"


def test_the_password_matches_and_another_does_not() -> None:
    """Checking needs the stored text alone: parameters and salt are in it."""
    assert password_matches("correct horse", STORED)
    assert not password_matches("correct horsf", STORED)
    assert not password_matches("", STORED)


def test_the_hash_is_argon2ids() -> None:
    """The stored text has the strength we say, in the form that other libraries read."""
    kdf = Argon2id(salt=SALT, length=32, iterations=3, lanes=1, memory_cost=32_768)

    assert kdf.derive_phc_encoded(b"correct horse") == STORED
    assert STORED.startswith("$argon2id$v=19$m=32768,t=3,p=1$")
    assert not is_outdated(STORED)


def test_a_hash_of_another_library_is_read() -> None:
    """The vector of RFC 9106's reference implementation, whose cost is not ours."""
    stored = (
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$"
        + Argon2id(salt=b"somesalt16bytes!", length=32, iterations=2, lanes=1, memory_cost=256)
        .derive_phc_encoded(b"password")
        .rpartition("$")[2]
    )

    assert password_matches("password", stored)
    assert is_outdated(stored)


def test_the_hashes_of_before_are_read_and_outdated() -> None:
    """scrypt's, with the parameters that were written then: nobody is locked out."""
    digest = hashlib.scrypt(b"correct horse", salt=SALT, n=2**15, r=8, p=3, maxmem=2**26, dklen=32)
    stored = f"$scrypt$ln=15,r=8,p=3${b64(SALT)}${b64(digest)}"

    assert password_matches("correct horse", stored)
    assert not password_matches("correct horsf", stored)
    assert is_outdated(stored)


def test_equal_passwords_look_different() -> None:
    """Another salt gives another hash."""
    assert hash_password("correct horse", SALT[::-1]) != STORED


def test_two_ways_of_typing_are_one_password() -> None:
    """Composed and decomposed letters are the same (NFKC)."""
    composed = "caf\u00e9"

    assert password_matches("cafe\u0301", cheap(composed.encode()))


def test_older_parameters_still_match_and_are_outdated() -> None:
    """A stored hash brings its own parameters, so they can be raised later."""
    assert password_matches("pw", cheap())
    assert is_outdated(cheap())


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "!",
        "pw",
        cheap()[1:],
        cheap()[:-1],
        cheap() + "\n",
        cheap(parameters="ln=4,r=1"),
        cheap(parameters="ln=0,r=1,p=1"),
        cheap(parameters="ln=40,r=1,p=1"),
        cheap(parameters="ln=17,r=99,p=1"),
        cheap(parameters="ln=4,r=1,p=99"),
        cheap(parameters="ln=4,r=1,p=0"),
        cheap(salt=SALT[:8]),
        cheap().replace("scrypt", "argon2"),
        cheap().replace("scrypt", "argon2id"),
        STORED[1:],
        STORED[:-1],
        STORED + "\n",
        STORED.replace("argon2id", "argon2i"),
        STORED.replace("v=19", "v=16"),
        STORED.replace("v=19$", ""),
        STORED.replace("m=32768", "m=999999"),
        STORED.replace("m=32768", "m=131073"),
        STORED.replace("m=32768", "m=7"),
        STORED.replace("t=3", "t=0"),
        STORED.replace("t=3", "t=9"),
        STORED.replace("p=1", "p=0"),
        STORED.replace("p=1", "p=5"),
        STORED.replace("m=32768,t=3,p=1", "m=31,t=3,p=4"),
    ],
)
def test_what_we_did_not_write_matches_nothing(stored: str) -> None:
    """A stored text that is broken, or would take gigabytes, denies; it is also outdated."""
    assert not password_matches("pw", stored)
    assert is_outdated(stored)


def test_a_stored_cost_is_bounded() -> None:
    """Parameters that would keep a thread busy for long are refused before any work is done."""
    digest = hashlib.scrypt(b"pw", salt=SALT, n=16, r=1, p=17, dklen=32)

    assert not password_matches("pw", f"$scrypt$ln=4,r=1,p=17${b64(SALT)}${b64(digest)}")


def test_the_costliest_parameters_that_are_allowed_work() -> None:
    """The memory limit leaves room for every hash that is not refused."""
    digest = hashlib.scrypt(b"pw", salt=SALT, n=2**17, r=8, p=1, maxmem=2**28, dklen=32)

    assert password_matches("pw", f"$scrypt$ln=17,r=8,p=1${b64(SALT)}${b64(digest)}")


@pytest.mark.parametrize("password", ["", "x" * 1025, "\u00e9" * 513, "\ufdfa" * 60, "\ud800"])
def test_a_password_has_limits(password: str) -> None:
    """Empty, over 1024 bytes (also once normalised) or no Unicode: refused, and never a match."""
    with pytest.raises(ValueError, match=r"1\.\.1024 bytes|surrogates not allowed"):
        hash_password(password, SALT)

    assert not password_matches(password, STORED)


@pytest.mark.parametrize("size", [0, 15, 65])
def test_a_salt_has_limits(size: int) -> None:
    """Sixteen bytes are needed so that no two passwords share one."""
    with pytest.raises(ValueError, match=r"16\.\.64 bytes"):
        hash_password("pw", bytes(size))


@pytest.mark.parametrize(
    ("m", "t", "p", "fits"),
    [
        *((8, 1, 1, True), (8, 8, 1, True), (8, 9, 1, False)),
        *((32, 1, 4, True), (40, 1, 5, False)),
        *((131_072, 1, 1, True), (131_080, 1, 1, False)),
    ],
)
def test_the_cost_of_a_stored_argon2id_hash_is_bounded(m: int, t: int, p: int, fits: bool) -> None:
    """At 128 MiB, 8 times and 4 lanes it is hashed; one step beyond, no work is done at all."""
    kdf = Argon2id(salt=SALT, length=32, iterations=t, lanes=p, memory_cost=m)

    assert password_matches("pw", kdf.derive_phc_encoded(b"pw")) is fits
