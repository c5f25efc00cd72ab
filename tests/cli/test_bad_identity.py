"""An identity that nobody would take: one line with the file and the remedy, and exit 1."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.engines.identity_files import IdentityFiles
from holdfast.engines.machine import MachineClock
from holdfast.runtime.local_authority import LocalAuthority
from tests.cli.conftest import Cli
from tests.identities import forge

Spoil = Callable[[Path, IdentityFiles], IdentityFiles]
SHAPE = "issue one with that URI SAN"


def other_key(folder: Path, files: IdentityFiles) -> IdentityFiles:
    """Put the key of another certificate beside it."""
    other = LocalAuthority(folder, "tiny", MachineClock()).issue("gateway")
    return replace(files, key=other.key)


def other_chain(folder: Path, files: IdentityFiles) -> IdentityFiles:
    """Trust an authority that has not issued it."""
    other = LocalAuthority(folder / "elsewhere", "tiny", MachineClock()).issue("desk")
    return replace(files, trusted=other.trusted)


def no_key(folder: Path, files: IdentityFiles) -> IdentityFiles:
    """Take the key away."""
    files.key.unlink()
    return files


def open_key(folder: Path, files: IdentityFiles) -> IdentityFiles:
    """Let everybody read the key."""
    files.key.chmod(0o644)
    return files


def forged(*uris: str, begins_s: float = -60.0, ends_s: float = 3600.0) -> Spoil:
    """Issue it otherwise than an authority of ours does."""
    return lambda folder, files: forge(folder, uris=uris, begins_s=begins_s, ends_s=ends_s)


DESK = "spiffe://tiny/desk"
BAD: dict[str, tuple[Spoil, str, str]] = {
    "expired": (forged(DESK, ends_s=-1.0), "tls.crt", "issue it again"),
    "not yet valid": (forged(DESK, begins_s=1800.0), "tls.crt", "look at this machine's clock"),
    "wrong key": (other_key, "tls.key", "the two go together"),
    "wrong chain": (other_chain, "tls.crt", "these two go together"),
    "no URI SAN": (forged(), "tls.crt", SHAPE),
    "two URI SANs": (forged(DESK, "spiffe://tiny/till"), "tls.crt", SHAPE),
    "unknown trust domain": (forged("spiffe://other/desk"), "tls.crt", SHAPE),
    "unreadable key": (no_key, "tls.key", "that this user may read"),
    "world-readable key": (open_key, "tls.key", "run `chmod o= "),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize(
    "command", [("serve", "tiny", "desk"), ("provision", "tiny")], ids=lambda words: words[0]
)
def test_what_nobody_would_take_ends_the_start(
    what: str, command: tuple[str, ...], cli: Cli, tmp_path: Path
) -> None:
    """Whatever the command, before anything is opened."""
    spoil, file, remedy = BAD[what]
    folder = tmp_path / "identities"
    files = spoil(folder, LocalAuthority(folder, "tiny", MachineClock()).issue("desk"))
    done = cli.quick(
        *command,
        HOLDFAST_CERT=str(files.certificate),
        HOLDFAST_KEY=str(files.key),
        HOLDFAST_CA=str(files.trusted),
        BROKER_URL="tls://127.0.0.1:1",
    )

    assert done.code == 1, done
    [line] = done.err.splitlines()
    assert file in line and remedy in line, line
    assert not (cli.folder / ".holdfast" / "tiny" / "desk.db").exists()
