"""Users: accounts, passwords and the tokens that the gateway asks for."""

import json
import secrets
from datetime import datetime
from typing import Annotated
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import StatusCode
from pydantic import SecretStr, StringConstraints
from sqlalchemy import select, update

from holdfast import Attempts, Caller, Failure, Field, Model, Outside, Read, Service, Settings, Tx
from holdfast.security import (
    SigningKey,
    TokenSigner,
    hash_password,
    is_outdated,
    password_matches,
    public_jwks,
)
from shop.users.messages import AUDIENCE, ISSUER, GetSigningKeys
from shop.users.tables import metadata, signing_key_table, user_table

tracer = trace.get_tracer("shop")

TOKEN_LIFE_S = 15 * 60
SCOPES = ("orders:read", "orders:write", "users:read")

NOBODY = f"$argon2id$v=19$m=32768,t=3,p=1${'A' * 22}${'A' * 43}"
"""Matches no password, and takes as long to find that out as the hash of a real one."""

Email = Annotated[
    str,
    StringConstraints(to_lower=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$"),
]


class UsersSettings(Settings):
    """USERS_SIGNING_KEY: a private JWK as `SigningKey.to_json()` writes it."""

    signing_key: SecretStr | None = None


class Register(Model):
    """A new account."""

    email: Email
    password: SecretStr = Field(min_length=8, max_length=128)
    name: str = Field(min_length=1, max_length=100)


class UserView(Model):
    """An account as its owner sees it."""

    id: UUID
    email: str
    name: str
    created_at: datetime


class LogIn(Model):
    """Who wants a token."""

    email: Email
    password: SecretStr = Field(max_length=128)


class AccessToken(Model):
    """A bearer token; the names are those of RFC 6749, `expires_in` counts seconds."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105  # a type, no secret
    expires_in: int = TOKEN_LIFE_S


class EmailTaken(Failure, status=409):
    """There is an account with this email."""


class WrongLogin(Failure, status=401):
    """The email or the password is wrong; which of them is nobody's business."""


class NoSuchUser(Failure, status=404):
    """There is no such account, or it is not the caller's."""


users = Service("users", tables=metadata, migrations="shop.users:migrations")


@users.post(
    "/v1/users",
    status_code=201,
    public=True,
    attempts=Attempts(of="email", per_account=None),  # hashing costs, and anybody may ask for it
)
async def register(body: Register, outside: Outside, tx: Tx) -> UserView:
    """Open an account."""
    salt = await outside.run(secrets.token_bytes, 16)
    password_hash = await outside.run(hash_password, body.password.get_secret_value(), salt)
    taken = await tx.execute(select(user_table.c.id).where(user_table.c.email == body.email))
    if taken.first():
        raise EmailTaken()
    user = UserView(id=tx.new_id(), email=body.email, name=body.name, created_at=tx.now)
    tx.insert(user_table, password_hash=password_hash, **user.model_dump())
    return user


@users.post("/v1/tokens", public=True, record=False, attempts=Attempts(of="email"))
async def log_in(
    body: LogIn, read: Read, outside: Outside, settings: UsersSettings, tx: Tx
) -> AccessToken:
    """Exchange email and password for a token."""
    found = await read.execute(select(user_table).where(user_table.c.email == body.email))
    user = found.first()
    # An unknown email costs the same work, so that the time does not tell which emails exist.
    stored = user.password_hash if user else NOBODY
    password = body.password.get_secret_value()
    matches = await outside.run(password_matches, password, stored)
    if user is None or not matches:
        who = "nobody" if user is None else f"user {user.id}"
        outside.audit("sign-in", who=who, authority="password", outcome="refused: wrong")
        raise WrongLogin()
    outside.audit("sign-in", who=f"user {user.id}", authority="password", outcome="accepted")
    signer = TokenSigner(await signing_key(read, settings), issuer=ISSUER, audience=AUDIENCE)
    token = signer.sign(
        str(user.id),
        SCOPES,
        now=read.now.timestamp(),
        lifetime_s=TOKEN_LIFE_S,
        token_id=await outside.run(secrets.token_hex, 16),
    )
    if is_outdated(stored):  # the password is known now, and only now
        salt = await outside.run(secrets.token_bytes, 16)
        renewed = await outside.run(hash_password, password, salt)
        same = (user_table.c.id == user.id) & (user_table.c.password_hash == stored)
        await tx.execute(update(user_table).where(same).values(password_hash=renewed))
    return AccessToken(access_token=token)


@users.get("/v1/users/{user_id}", scope="users:read")
async def get_user(user_id: UUID, read: Read, caller: Caller) -> UserView:
    """Show the caller's own account."""
    with tracer.start_as_current_span("get-user") as span:
        span.set_attribute("user.id", str(user_id))
        found = await read.execute(select(user_table).where(user_table.c.id == user_id))
        user = found.mappings().first()
        if user is None or caller.subject != str(user_id):
            raise NoSuchUser()  # recorded by the span, which ends as an error
        span.set_status(StatusCode.OK)
        return UserView.model_validate(user)


@users.handles
async def signing_keys(query: GetSigningKeys, read: Read, settings: UsersSettings) -> str:
    """Publish the key that tokens are signed with."""
    return json.dumps(public_jwks([await signing_key(read, settings)]))


async def signing_key(read: Read, settings: UsersSettings) -> SigningKey:
    """Return the key from the settings, or the one that was made with the tables."""
    if settings.signing_key is not None:
        return SigningKey.from_json(settings.signing_key.get_secret_value())
    made = await read.execute(select(signing_key_table.c.jwk))
    return SigningKey.from_json(made.scalar_one())
