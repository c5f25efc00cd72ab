"""A service with a route of each kind, for tests that send the same requests two ways."""

import asyncio
import json
from dataclasses import dataclass
from typing import Annotated, Any, cast
from uuid import UUID

from opentelemetry import trace
from sqlalchemy import Column, MetaData, String, Table, Uuid, select

from holdfast import (
    Attempts,
    Caller,
    Failure,
    Field,
    Gateway,
    Header,
    Model,
    Outside,
    Query,
    Rate,
    Read,
    Service,
    Settings,
    System,
    Tokens,
    Tx,
)
from holdfast.contract.http import Response
from holdfast.errors import BadRequest, Forbidden, Overloaded
from holdfast.security import SigningKey, TokenSigner
from tests.security.forge import NOW_S, private_key, public_jwk

NOW = NOW_S
ISSUER, AUDIENCE = "https://issuer.example", "https://api.example"
KEY = SigningKey(bytes(32))
SIGNER = TokenSigner(KEY, issuer=ISSUER, audience=AUDIENCE)
OTHER = TokenSigner(SigningKey(bytes([1]) * 32), issuer=ISSUER, audience=AUDIENCE)
ENVIRON = {"COUNTER_GREETING": "hello"}
METADATA = MetaData()
NOTES = Table(
    "note",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("text", String, nullable=False, unique=True),
)
CONSTANT = Response(200, [(b"content-type", b"text/plain"), (b"x-of", b"a constant")], b"as it is")


class GetKeys(Query[str]):
    """Ask for the public keys."""


TOKENS = Tokens(issuer=ISSUER, audience=AUDIENCE, keys=GetKeys)
PROVED = Tokens(issuer=ISSUER, audience=AUDIENCE, keys=GetKeys, dpop="accepted")


class Note(Model):
    """A body, and an answer."""

    text: str
    weight: int = Field(1, ge=0, alias="Weight")


class LongNote(Note):
    """More than was promised."""

    more: str = "more"


class Guess(Model):
    """What a log-in is tried with."""

    name: str
    guess: float = 0.0


class Said(Model):
    """What a handler was given."""

    said: dict[str, Any]


class Words(Settings):
    """What there is to say."""

    greeting: str


@dataclass
class Shelf:
    """What is made once."""

    name: str


class Taken(Failure):
    """Somebody else has it."""

    by: str


class Stranger(Failure, status=401):
    """Nobody knows you."""


def counter() -> Service:
    """Return the service."""
    service = Service("counter", tables=METADATA)

    @service.handles
    async def keys(query: GetKeys) -> str:
        forged = public_jwk(private_key("EdDSA"), "ed")
        return json.dumps({"keys": [KEY.public_jwk(), forged]})

    @service.provides
    async def shelf(words: Words) -> Shelf:
        return Shelf(f"shelf of {words.greeting}")

    _plain(service)
    _asking(service)
    _writing(service)
    _ending(service)
    return service


def system_of(gateway: Gateway) -> System:
    """Return the system of this one service."""
    return System("tiny", services=[counter()], gateway=gateway)


def _plain(service: Service) -> None:
    @service.get("/open", public=True)
    async def opened() -> Note:
        return Note(text="open", Weight=2)

    @service.get("/docs", public=True)
    async def docs() -> Note:
        return Note(text="where the gateway has a page of its own")

    @service.get("/health/{what}", public=True)
    async def health(what: str) -> Note:
        return Note(text=what)

    @service.get("/me")
    async def me(caller: Caller) -> Said:
        scopes = sorted(caller.scopes)
        return Said(said={"subject": caller.subject, "scopes": scopes, "client": caller.client})

    @service.get("/scoped", scope="notes:read", status_code=299)
    async def scoped(caller: Caller, words: Words, shelf: Shelf) -> Said:
        return Said(said={"greeting": words.greeting, "shelf": shelf.name, "of": caller.subject})

    @service.get("/silent", public=True, status_code=204)
    async def silent() -> None:
        return None

    @service.get("/nothing", public=True, status_code=204)
    async def nothing() -> Note:
        return Note(text="which 204 does not send")

    @service.get("/list")
    async def listed() -> list[Note]:
        return [Note(text="one"), Note(text="two", Weight=2)]

    @service.get("/text", public=True)
    async def text() -> str:
        return "a text"

    @service.get("/things/{thing}/parts/{part}")
    async def part(
        thing: UUID,
        part: int,
        tags: list[str],
        page: int = Field(1, ge=1),
        accept_language: Annotated[str | None, Header()] = None,
        match: Annotated[int, Header("If-Match")] = 0,
    ) -> Said:
        said = {"thing": str(thing), "part": part, "tags": tags, "page": page}
        return Said(said={**said, "language": accept_language, "match": match})

    @service.get("/things/{thing}", public=True)
    async def thing(thing: str, spoofed: Annotated[str | None, Header("X-Kept")] = None) -> Said:
        return Said(said={"thing": thing, "spoofed": spoofed})


def _asking(service: Service) -> None:
    @service.get("/notes", scope="notes:read")
    async def notes(read: Read, at_most: int = Field(10, le=20)) -> list[Note]:
        rows = await read.execute(select(NOTES.c.text).order_by(NOTES.c.text).limit(at_most))
        return [Note(text=row["text"]) for row in rows]

    @service.get("/outside", public=True)
    async def outside(outside: Outside) -> Note:
        return Note(text=str(await outside.run(max, 1, 2)))

    @service.post("/sum", public=True)
    async def summed(body: list[int]) -> int:
        return sum(body)

    @service.post("/weigh", scope="notes:read")
    async def weigh(body: Note, caller: Caller) -> Note:
        return body

    @service.post("/maybe", public=True)
    async def maybe(body: Note | None = None) -> Said:
        return Said(said={"body": None if body is None else body.text})

    @service.post(
        "/log-in",
        public=True,
        attempts=Attempts(of="name", per_account=Rate(0.01, 2), per_address=Rate(0.01, 4)),
    )
    async def log_in(body: Guess) -> Note:
        if body.name != "ada":
            raise Stranger()
        return Note(text="come in")


def _writing(service: Service) -> None:
    @service.post("/notes", status_code=201, scope="notes:write")
    async def write(body: Note, tx: Tx, caller: Caller) -> Note:
        if body.text == "taken":
            raise Taken(by=caller.subject)
        if body.text == "wait":
            await asyncio.sleep(0.5)
        tx.insert(NOTES, id=tx.new_id(), text=body.text)
        return body

    @service.put("/notes/{text}", scope="notes:write")
    async def put(
        text: str, tx: Tx, read: Read, match: Annotated[str, Header("If-Match")] = ""
    ) -> Said:
        known = await read.execute(select(NOTES.c.text).where(NOTES.c.text == text))
        if not list(known):
            tx.insert(NOTES, id=tx.new_id(), text=text)
        return Said(said={"text": text, "match": match})

    @service.delete("/notes/{text}", scope="notes:write")
    async def delete(text: str, tx: Tx) -> None:
        await tx.execute(NOTES.delete().where(NOTES.c.text == text))

    @service.post("/secret", public=True, record=False)
    async def secret(body: Note, tx: Tx) -> Note:
        tx.insert(NOTES, id=tx.new_id(), text=body.text)
        return body


def _ending(service: Service) -> None:
    @service.get("/ends/{how}")
    async def ends(how: str, caller: Caller, read: Read) -> Note:
        return cast(Note, await _end(how))

    @service.get("/open-ends/{how}", public=True)
    async def open_ends(how: str) -> Note:
        return cast(Note, await _end(how))

    @service.get("/any-ends/{how}", public=True)
    async def any_ends(how: str) -> Note | None:
        return cast("Note | None", await _end(how))


ERRORS: dict[str, type[BaseException]] = {
    "bug": KeyError,
    "late": TimeoutError,
    "stray": asyncio.CancelledError,
    "bad": BadRequest,
    "forbidden": Forbidden,
    "busy": Overloaded,
    "value": ValueError,
    "recursion": RecursionError,
}
ANSWERS: dict[str, object] = {
    "note": Note(text="a note"),
    "longer": LongNote(text="a longer note"),
    "dict": {"text": "a dict", "Weight": 3},
    "broken": {"text": 7},
    "none": None,
    "unsendable": Note.model_construct(text=cast(str, object()), weight=1),
    "constant": CONSTANT,
    "json": Response(200, [(b"content-type", b"application/json")], b"{}"),
    "created": Response(201, [], b"made"),
    "unauthorised": Response(401, [(b"www-authenticate", b"Basic")], b"no"),
    "denied": Response(403, [], b"no"),
    "empty": Response(204),
    "redirect": Response(302, [(b"location", b"/open")]),
    "teapot": Response(418, [], b""),
    "failed": Response(500, [], b"ours"),
    "split": Response(200, [(b"x-a", b"1\r\nx-b: 2")], b""),
    "informs": Response(101),
    "ours": Response(200, [(b"content-length", b"3"), (b"x-correlation-id", b"mine")], b"12345"),
    "cors": Response(200, [(b"access-control-allow-origin", b"*"), (b"vary", b"accept")], b""),
}
WAITS = ("wait", "shield", "timeout", "swallow", "group", "long", "span")
HOW = (*ERRORS, *ANSWERS, "taken", "stranger", *WAITS, *(f"wait-{one}" for one in ERRORS))


async def _end(how: str) -> object:
    """End in the way that is asked for; `wait-…` waits first."""
    if how.startswith("wait-"):
        await asyncio.sleep(0.25)
        how = how.removeprefix("wait-")
    if how in ERRORS:
        raise ERRORS[how](f"it ends with {how}")
    if how == "taken":
        raise Taken(by="another")
    if how == "stranger":
        raise Stranger()
    if how == "wait":
        await asyncio.sleep(0)
        await asyncio.sleep(1.5)
    elif how == "long":
        await asyncio.sleep(60)
    elif how == "shield":
        await asyncio.shield(asyncio.sleep(0.5))
    elif how == "timeout":
        async with asyncio.timeout(0.5):
            await asyncio.sleep(30)
    elif how == "swallow":
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return Note(text="swallowed")
    elif how == "span":
        with trace.get_tracer("mine").start_as_current_span("mine"):
            await asyncio.sleep(0.1)
            with trace.get_tracer("mine").start_as_current_span("inside"):
                pass
    elif how == "group":
        async with asyncio.TaskGroup() as group:
            one = group.create_task(asyncio.sleep(0.1, "of a group"))
        return Note(text=one.result())
    else:
        return ANSWERS[how]
    return Note(text=how)
