"""Passwords are kept so that they can be checked and not read."""

import hashlib

import pytest

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


def test_the_hash_is_scrypts() -> None:
    """The stored text has the strength we say, and neither password nor surprise in it."""
    digest = hashlib.scrypt(b"correct horse", salt=SALT, n=2**15, r=8, p=3, maxmem=2**26, dklen=32)

    assert f"$scrypt$ln=15,r=8,p=3${b64(SALT)}${b64(digest)}" == STORED
    assert not is_outdated(STORED)


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
