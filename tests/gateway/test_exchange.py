"""The gateway gives a transaction token for a caller at a route, and uses it again for a while."""

import pytest

from holdfast import Caller
from holdfast.errors import Forbidden, Overloaded
from holdfast.gateway import Exchange
from holdfast.security import Purpose, TransactionSigner
from tests.security.forge import NOW_S, ManualClock
from tests.security.transactions import SIGNER, SYSTEM, Forge

ADA = Caller("ada", frozenset({"bread:eat", "role with spaces"}), "web")
BREAD = Purpose("oven", "GET", "/v1/bread/{}")
FORGE = Forge()


class Exchanged:
    """An exchange, its clock, and what signs for it now."""

    def __init__(self, kept_max: int = 10) -> None:
        self.clock = ManualClock()
        self.signer = FORGE.signer()
        self.exchange = Exchange(lambda: self.signer, self.clock, kept_max)

    def token(
        self,
        caller: Caller = ADA,
        *,
        until_s: float = NOW_S + 3600,
        purpose: Purpose = BREAD,
        transaction: str = "first-one",
    ) -> bytes:
        return self.exchange(caller, until_s, purpose, transaction)[0]


def test_what_it_gives_is_what_a_service_takes() -> None:
    """All that the caller is, for this route, and no longer than two minutes."""
    said = FORGE.verifier().verify(Exchanged().token())

    assert (said.caller, said.purpose, said.transaction) == (ADA, BREAD, "first-one")
    assert said.expires_at == NOW_S + 120


def test_one_token_serves_a_minute_of_requests() -> None:
    """It says whose request it was made for; a minute later there is another one."""
    at = Exchanged()
    first = at.exchange(ADA, NOW_S + 3600, BREAD, "first-one")
    at.clock.advance(59.9)
    again = at.exchange(ADA, NOW_S + 3600, BREAD, "second-one")
    at.clock.advance(0.1)
    later = at.exchange(ADA, NOW_S + 3600, BREAD, "third-one")

    assert again == first
    assert (first[1], later[1]) == ("first-one", "third-one")
    assert later[0] != first[0]


@pytest.mark.parametrize(
    "other",
    [
        {"caller": ADA._replace(subject="eve")},
        {"caller": ADA._replace(scopes=frozenset({"bread:eat", "role"}))},
        {"caller": ADA._replace(client="")},
        {"until_s": NOW_S + 60},
        {"purpose": BREAD._replace(method="HEAD")},
        {"purpose": BREAD._replace(service="mill")},
        {"purpose": BREAD._replace(route="/v1/cake/{}")},
    ],
)
def test_nobody_gets_the_token_of_another(other: dict[str, object]) -> None:
    """Whatever differs, of the caller, of his own token, or of the route."""
    at = Exchanged()

    assert at.token(**other) != at.token()  # type: ignore[arg-type]  # each is of its field's type


@pytest.mark.parametrize(("left_s", "lasts_s"), [(30, 30), (1, 1), (0, 1), (-4, 1)])
def test_it_is_good_no_longer_than_the_caller_s_own(left_s: int, lasts_s: int) -> None:
    """Within the leeway for that one there is a second left, and the service's own leeway."""
    at = Exchanged()
    said = FORGE.verifier().verify(at.token(until_s=NOW_S + left_s))

    assert said.expires_at == NOW_S + lasts_s
    at.clock.advance(max(left_s, 0))
    assert at.token(until_s=NOW_S + left_s, transaction="another") is not None


def test_it_is_good_no_longer_than_its_certificate() -> None:
    """A service would not take it after that anyway."""
    at = Exchanged()
    chain = [FORGE.certificate(SIGNER, ends_s=NOW_S + 45)]
    at.signer = TransactionSigner(SYSTEM, FORGE.key, chain)

    assert FORGE.verifier().verify(at.token()).expires_at == NOW_S + 45
    at.clock.advance(45)
    with pytest.raises(Overloaded, match="no certificate to tell services who calls"):
        at.token()


def test_a_new_key_signs_at_once() -> None:
    """What another one has signed is not used again, and is good until it ends."""
    at = Exchanged()
    old = at.token()
    at.signer = FORGE.signer()
    new = at.token()

    assert new != old
    assert at.token() == new
    verifier = FORGE.verifier()
    assert verifier.verify(old).caller == verifier.verify(new).caller == ADA


def test_it_keeps_what_was_used_last() -> None:
    """The one that was used least recently goes first."""
    at = Exchanged(kept_max=2)
    ada, bob = at.token(), at.token(Caller("bob"))
    assert at.token() == ada
    at.token(Caller("eve"), transaction="second")

    assert at.token(transaction="third") == ada
    assert at.token(Caller("bob"), transaction="fourth") != bob


def test_a_caller_who_does_not_fit_is_refused() -> None:
    """A service would refuse such a token unread, and nobody would know why."""
    many = frozenset(f"scope-number-{number:06}" for number in range(1_000))

    with pytest.raises(Forbidden, match="over 16384: too many scopes"):
        Exchanged().token(Caller("ada", many))


@pytest.mark.parametrize("subject", ["ada", "日本", 'a "quoted" \\ name', "<&>", "a" * 2_000])
def test_every_subject_arrives_as_it_is(subject: str) -> None:
    """Tokens of users may name anybody."""
    said = FORGE.verifier().verify(Exchanged().token(Caller(subject)))

    assert said.caller == Caller(subject)
