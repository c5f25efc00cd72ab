"""What a listener for clients speaks, by files that change: the last good pair stays in use."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from holdfast.engines.machine import MachineClock
from holdfast.engines.public_tls import PublicFiles, PublicTls
from holdfast.errors import SettingError
from tests.public_pairs import DAY_S, Mounted, Pair, PublicAuthority

Spoil = Callable[[PublicAuthority, Pair], Pair]

SPOILT: dict[str, tuple[Spoil, str]] = {
    "half a certificate": (
        lambda _, good: Pair(good.certificate[:200], good.key, ""),
        r"certificate=.*tls.crt: no certificates in PEM",
    ),
    "an empty certificate": (
        lambda _, good: Pair(b"", good.key, ""),
        r"certificate=.*tls.crt: no certificates in PEM",
    ),
    "half a key": (
        lambda _, good: Pair(good.certificate, good.key[:100], ""),
        r"key=.*tls.key: no private key in PEM",
    ),
    "the key of another": (
        lambda authority, good: Pair(good.certificate, authority.issue().key, ""),
        r"key=.*tls.key: it is not the key of the certificate",
    ),
    "expired": (
        lambda authority, _: authority.issue(begins_s=-DAY_S, ends_s=-60),
        r"certificate=.*tls.crt: it expired at .*; issue it again",
    ),
    "not valid yet": (
        lambda authority, _: authority.issue(begins_s=DAY_S),
        r"certificate=.*tls.crt: it is not valid before .*; look at this machine's clock",
    ),
    "a short key": (
        lambda authority, _: authority.issue(key=rsa.generate_private_key(65_537, 1_024)),
        r"certificate=.*tls.crt: TLS does not take it: .*; issue it with a key of ECDSA P-256",
    ),
}


@pytest.fixture
def authority() -> PublicAuthority:
    """Whom clients trust."""
    return PublicAuthority()


@pytest.mark.parametrize("kind", SPOILT)
def test_what_is_no_good_is_refused_at_the_start(
    tmp_path: Path, authority: PublicAuthority, kind: str
) -> None:
    """With the file and the remedy."""
    spoil, says = SPOILT[kind]
    mounted = Mounted(tmp_path / "public", spoil(authority, authority.issue()))

    with pytest.raises(SettingError, match=says):
        PublicTls(PublicFiles(mounted.certificate, mounted.key), MachineClock())


@pytest.mark.parametrize("kind", SPOILT)
def test_what_is_no_good_later_leaves_the_last_pair_in_use(
    tmp_path: Path, authority: PublicAuthority, kind: str
) -> None:
    """And it says why; a good one that comes then is taken up."""
    spoil, says = SPOILT[kind]
    first, last = authority.issue(), authority.issue()
    mounted = Mounted(tmp_path / "public", first)
    tls = PublicTls(PublicFiles(mounted.certificate, mounted.key), MachineClock())
    mounted.swap(spoil(authority, last))
    looked, trouble, shown = tls.look(), tls.trouble or "", tls.serial
    mounted.swap(last)
    taken = tls.look()

    assert (looked, shown) == (False, first.serial)
    assert re.search(says, trouble)
    assert trouble.startswith("the last good certificate is in use: ")
    assert (taken, tls.trouble, tls.serial) == (True, None, last.serial)


def test_files_that_are_away_leave_the_last_pair_in_use(
    tmp_path: Path, authority: PublicAuthority
) -> None:
    """They are taken up again when they have come back, as they were or changed."""
    mounted = Mounted(tmp_path / "public", authority.issue())
    tls = PublicTls(PublicFiles(mounted.certificate, mounted.key), MachineClock())
    mounted.certificate.rename(tmp_path / "away")
    away, trouble = tls.look(), tls.trouble or ""
    (tmp_path / "away").rename(mounted.certificate)
    back = tls.look()

    assert (away, back, tls.trouble) == (False, False, None)
    assert "No such file or directory" in trouble
