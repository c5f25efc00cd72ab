"""The authority of one machine: who gets a certificate, when, and how it is followed by another."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from holdfast.engines.identity_files import IdentityFiles
from holdfast.runtime import private_file
from holdfast.runtime.local_authority import LocalAuthority


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(tmp_path: Path, clock: Clock) -> LocalAuthority:
    return LocalAuthority(tmp_path / "identities", "bakery", clock)


def leaf(files: IdentityFiles) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files.certificate.read_bytes())


def is_trusted(files: IdentityFiles, by: IdentityFiles) -> bool:
    """Whether one workload takes the certificate of another, by the judgement of `cryptography`."""
    store = Store(x509.load_pem_x509_certificates(by.trusted.read_bytes()))
    policy = PolicyBuilder().store(store).time(leaf(files).not_valid_before_utc)
    try:
        policy.build_client_verifier().verify(leaf(files), [])
    except VerificationError:
        return False
    return True


def test_a_certificate_names_its_workload_three_times(authority: LocalAuthority) -> None:
    """URI SAN, first DNS SAN and common name say the same, and no address is among them."""
    found = leaf(authority.issue("oven"))

    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://bakery/oven"]
    assert names.get_values_for_type(x509.DNSName) == ["oven"]
    assert names.get_values_for_type(x509.IPAddress) == []
    assert found.subject.rfc4514_string() == "CN=oven"
    assert 3600 <= (found.not_valid_after_utc - found.not_valid_before_utc).total_seconds() <= 3660


def test_it_is_issued_again_at_half_life(authority: LocalAuthority, clock: Clock) -> None:
    """Nothing is done before half of its life is over, and then once."""
    files = authority.issue("oven")
    first = leaf(files).serial_number

    clock.at += 1_799
    assert authority.renew() == []
    clock.at += 2
    assert authority.renew() == ["oven"]
    assert leaf(files).serial_number != first
    assert authority.renew() == []


async def test_one_that_cannot_be_written_is_tried_again(
    authority: LocalAuthority, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk keeps it from nobody else, and from it only until there is room."""
    oven, counter = authority.issue("oven"), authority.issue("counter")
    before = leaf(oven).serial_number, leaf(counter).serial_number
    written = private_file.write_private

    def full(path: Path, content: bytes, mode: int = 0o600) -> None:
        if path.parent.name == "oven":
            raise OSError(28, "No space left on device")
        written(path, content, mode)

    clock.at += 1_801
    with monkeypatch.context() as patched:
        patched.setattr("holdfast.runtime.local_authority.write_private", full)
        assert authority.renew() == ["counter"]
    assert (leaf(oven).serial_number, leaf(counter).serial_number != before[1]) == (before[0], True)

    assert authority.renew() == ["oven"]
    assert leaf(oven).serial_number != before[0]


def test_nobody_else_can_read_what_it_writes(authority: LocalAuthority, tmp_path: Path) -> None:
    """Keys, and everything beside them, are for this user alone."""
    authority.issue("oven")

    for path in (tmp_path / "identities").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_it_is_the_same_authority_after_a_restart(
    authority: LocalAuthority, tmp_path: Path, clock: Clock
) -> None:
    """What one process has issued, the next one trusts."""
    before = authority.issue("oven")

    after = LocalAuthority(tmp_path / "identities", "bakery", clock).issue("counter")

    assert is_trusted(before, by=after)
    assert is_trusted(after, by=before)


def test_another_authority_follows_without_a_gap(authority: LocalAuthority) -> None:
    """At each step whoever has read the last one's files takes those of the next one."""
    oven, counter = authority.issue("oven"), authority.issue("counter")
    old = leaf(oven)
    for step in (authority.announce, authority.switch):
        step()
        assert is_trusted(oven, by=counter)
        assert is_trusted(counter, by=oven)
    assert leaf(oven).issuer == old.issuer
    assert leaf(oven).extensions != old.extensions

    authority.forget()

    assert is_trusted(oven, by=counter)
    oven.certificate.write_bytes(old.public_bytes(Encoding.PEM))
    assert not is_trusted(oven, by=counter)
