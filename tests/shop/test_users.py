"""Accounts, logins and the keys that tokens are signed with."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest
from pydantic import SecretStr, ValidationError

from holdfast import Caller
from holdfast.security import SigningKey, is_outdated, password_matches
from shop.users.messages import GetSigningKeys
from shop.users.service import (
    NOBODY,
    EmailTaken,
    LogIn,
    NoSuchUser,
    Register,
    UsersSettings,
    UserView,
    WrongLogin,
    get_user,
    log_in,
    register,
    signing_keys,
)
from shop.users.tables import metadata, user_table
from tests.shop.fakes import FakeOutside, FakeTx

PASSWORD = SecretStr("correct horse")
SETTINGS = UsersSettings()


@pytest.fixture
def tx() -> Iterator[FakeTx]:
    """Start without accounts."""
    tx = FakeTx(metadata)
    yield tx
    tx.close()


async def ada(tx: FakeTx) -> UserView:
    body = Register(email="Ada@Example.org", password=PASSWORD, name="Ada")
    return await register(body, FakeOutside(), tx)


async def test_a_password_is_kept_as_a_hash(tx: FakeTx) -> None:
    """The email is kept in lower case, the password not at all."""
    user = await ada(tx)
    (row,) = tx.rows(user_table)

    assert (row["id"], row["email"]) == (user.id, "ada@example.org")
    assert row["password_hash"].startswith("$argon2id$")
    assert PASSWORD.get_secret_value() not in str(row)


async def test_an_email_has_one_account(tx: FakeTx) -> None:
    """Another spelling of it is the same one."""
    await ada(tx)

    with pytest.raises(EmailTaken):
        await ada(tx)
    assert len(tx.rows(user_table)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "1234567"},
        {"password": "x" * 129},
        {"email": "ada"},
        {"email": "a b@example.org"},
        {"name": ""},
    ],
)
def test_an_account_needs_an_email_a_password_and_a_name(wrong: dict[str, str]) -> None:
    """Passwords have 8 to 128 characters."""
    good = {"email": "ada@example.org", "password": "12345678", "name": "Ada"}
    assert Register.model_validate(good)

    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Register.model_validate(good | wrong)


async def test_a_wrong_password_and_an_unknown_email_look_the_same(tx: FakeTx) -> None:
    """Same refusal, same work: nobody learns which emails have an account."""
    await ada(tx)
    refusals = []
    for email in ("ada@example.org", "eve@example.org"):
        outside = FakeOutside()
        body = LogIn(email=email, password=SecretStr("wrong horse"))
        with pytest.raises(WrongLogin) as caught:
            await log_in(body, tx, outside, SETTINGS, tx)
        ((function, (_, stored)),) = outside.ran
        refusals.append((str(caught.value), function, is_outdated(stored)))

    assert refusals[0] == refusals[1] == ("WrongLogin", password_matches, False)


async def test_an_old_hash_is_renewed_when_its_owner_comes(tx: FakeTx) -> None:
    """Only by the right password, and once: then the account is as new ones are."""
    user = await ada(tx)
    digest = hashlib.scrypt(
        PASSWORD.get_secret_value().encode(), salt=bytes(16), n=16, r=1, p=1, dklen=32
    )
    parts = (base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (bytes(16), digest))
    old = f"$scrypt$ln=4,r=1,p=1${'$'.join(parts)}"
    tx.update(user_table, user.id, password_hash=old)

    wrong = LogIn(email=user.email, password=SecretStr("wrong horse"))
    with pytest.raises(WrongLogin):
        await log_in(wrong, tx, FakeOutside(), SETTINGS, tx)
    (kept,) = tx.rows(user_table)
    right = LogIn(email=user.email, password=PASSWORD)
    assert await log_in(right, tx, FakeOutside(), SETTINGS, tx)
    (renewed,) = tx.rows(user_table)
    assert await log_in(right, tx, again := FakeOutside(), SETTINGS, tx)

    assert kept["password_hash"] == old
    assert renewed["password_hash"].startswith("$argon2id$")
    assert not is_outdated(renewed["password_hash"])
    assert password_matches not in [function for function, _ in again.ran[1:]]
    assert tx.rows(user_table) == [renewed]


async def test_nobody_has_no_password(tx: FakeTx) -> None:
    """The hash that unknown emails are compared with opens nothing."""
    assert not any(password_matches(word, NOBODY) for word in ("", "A", "\0", "A" * 43))


async def test_each_new_shop_has_a_key_of_its_own(tx: FakeTx) -> None:
    """A token of one shop is worth nothing in another."""
    with closing(FakeTx(metadata)) as other:
        keys = [await signing_keys(GetSigningKeys(), db, SETTINGS) for db in (tx, other)]

    assert keys[0] != keys[1]


async def test_a_token_is_signed_with_the_published_key(tx: FakeTx) -> None:
    """It is the same key for every replica: it comes from the table."""
    await ada(tx)
    token = await log_in(
        LogIn(email="ADA@example.org", password=PASSWORD), tx, FakeOutside(), SETTINGS, tx
    )
    first, second = [await signing_keys(GetSigningKeys(), tx, SETTINGS) for _ in range(2)]

    header = _part(token.access_token, 0)
    (jwk,) = json.loads(first)["keys"]
    assert (header["typ"], header["kid"]) == ("at+jwt", jwk["kid"])
    assert "d" not in jwk
    assert first == second


async def test_a_token_is_short_lived_and_says_what_it_is_good_for(tx: FakeTx) -> None:
    """A quarter of an hour, for orders and the own account."""
    user = await ada(tx)
    body = LogIn(email="ada@example.org", password=PASSWORD)
    tokens = [await log_in(body, tx, FakeOutside(), SETTINGS, tx) for _ in range(2)]

    first, second = [_part(token.access_token, 1) for token in tokens]
    assert (first["sub"], first["exp"] - first["iat"]) == (str(user.id), 900)
    assert first["scope"] == "orders:read orders:write users:read"
    assert first["jti"] != second["jti"]


async def test_a_key_from_the_settings_is_used_instead(tx: FakeTx) -> None:
    """The one in the table signs nothing then."""
    key = SigningKey(bytes(32))
    settings = UsersSettings(signing_key=SecretStr(key.to_json()))
    published = await signing_keys(GetSigningKeys(), tx, settings)

    assert [jwk["kid"] for jwk in json.loads(published)["keys"]] == [key.kid]


async def test_an_account_is_seen_by_its_owner_alone(tx: FakeTx) -> None:
    """For all others it does not exist."""
    user = await ada(tx)

    assert await get_user(user.id, tx, Caller(str(user.id))) == user
    with pytest.raises(NoSuchUser):
        await get_user(user.id, tx, Caller(str(uuid4())))
    with pytest.raises(NoSuchUser):
        await get_user(stranger := uuid4(), tx, Caller(str(stranger)))


def _part(token: str, number: int) -> dict[str, object]:
    text = token.split(".")[number]
    decoded: dict[str, object] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded
