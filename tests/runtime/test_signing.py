"""Callers travel signed between processes; keys and authorities are rotated under requests."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from holdfast import Caller, Gateway, Query, Read, Service, System, Tokens
from holdfast.communication import ClientPool, Origin
from holdfast.contract.http import Request
from holdfast.contract.spiffe import SIGNER
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.engines.network import SystemNetwork
from holdfast.errors import SettingError
from holdfast.observability import Logger
from holdfast.ports import Clock
from holdfast.runtime.engines import embedded
from holdfast.runtime.process import Options, Process
from holdfast.runtime.signing import FollowedSigner, signer_of
from holdfast.security import SigningKey, TokenSigner, public_jwks
from tests.identities import SYSTEM as BAKERY
from tests.identities import Identities
from tests.security.transactions import Forge

KEY = SigningKey(bytes(32))
ISSUER = "https://issuer.example"
USERS = TokenSigner(KEY, issuer=ISSUER, audience="api")


class GetKeys(Query[str]):
    """Ask for the public keys."""


oven = Service("oven")


@oven.handles
async def keys(query: GetKeys, read: Read) -> str:
    """Bring the keys."""
    return json.dumps(public_jwks([KEY]))


@oven.get("/v1/me", scope="me:read")
async def me(caller: Caller, read: Read) -> str:
    """Say who calls."""
    return caller.subject


SHOP = System(
    BAKERY,
    services=[oven],
    gateway=Gateway(tokens=Tokens(issuer=ISSUER, audience="api", keys=GetKeys)),
)


@dataclass
class Apart:
    """A gateway and a service in processes of their own, and who they are."""

    names: Identities
    gateway: Process
    service: Process
    identities: list[TlsIdentity]
    signer: FollowedSigner
    log: io.BytesIO
    clients: ClientPool
    clock: Clock

    async def get(self, subject: str = "ada") -> int:
        """Ask the gateway who calls; return the status."""
        now = self.clock.now()
        token = USERS.sign(subject, ["me:read"], now=now, lifetime_s=600, token_id="t")
        headers = [(b"authorization", f"Bearer {token}".encode())]
        request = Request("GET", "/v1/me", "", headers)
        answer = await self.clients.request(
            Origin.parse(self.gateway.url), request, deadline_s=30.0
        )
        assert answer.status != 200 or json.loads(answer.body) == subject
        return answer.status

    def look(self) -> None:
        """Let both processes take up their files, as they do every few seconds."""
        for identity in self.identities:
            identity.look()
        self.signer.look()

    def refused(self, field: str = "reason") -> list[str]:
        """Return why the service has refused callers, of all its log lines."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line[field] for line in lines if line.get("event") == "transaction_token.refused"]


class Ahead(MachineClock):
    """The clock of a gateway whose machine nobody sets."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead_s = ahead_s

    def now(self) -> float:
        return super().now() + self._ahead_s


@asynccontextmanager
async def apart(folder: Path, ahead_s: float = 0.0) -> AsyncIterator[Apart]:
    """Run both; the gateway's clock is that far ahead."""
    names = Identities(folder / "identities")
    (inside, _), (outside, _) = names.of("oven"), names.of("gateway")
    signer = FollowedSigner(names.authority.issue(SIGNER), BAKERY, MachineClock())
    engines = embedded(lambda name: folder / f"{name}.db", threads=1)
    log, clock = io.BytesIO(), Ahead(ahead_s)

    def logger(stream: io.BytesIO) -> Logger:
        return Logger(stream, MachineClock(), BAKERY, form="json")

    service = Process(
        SHOP,
        Options(data=None, port=0, services=("oven",), gateway=False),
        logger(log),
        replace(engines, identity=inside, discover=lambda name: []),
    )
    await service.start()
    others = [replace(Origin.parse(service.url), workload="oven")]
    gateway = Process(
        SHOP,
        Options(data=None, port=0, services=(), gateway=True),
        logger(io.BytesIO()),
        replace(
            engines, identity=outside, signer=signer, discover=lambda name: others, clock=clock
        ),
    )
    await gateway.start()
    clients = ClientPool(network=SystemNetwork(), clock=MachineClock())
    try:
        yield Apart(names, gateway, service, [inside, outside], signer, log, clients, clock)
    finally:
        await clients.close()
        await gateway.stop()
        await service.stop()


async def test_a_caller_reaches_the_service_signed(tmp_path: Path) -> None:
    """And nothing is refused on the way."""
    async with apart(tmp_path) as both:
        assert [await both.get(name) for name in ("ada", "bob", "ada")] == [200] * 3
        assert both.refused() == []


@pytest.mark.parametrize(
    ("ahead_s", "reason"), [(-590.0, None), (590.0, None), (-760.0, "expired"), (640.0, "not_yet")]
)
async def test_clocks_that_differ_are_named(
    ahead_s: float, reason: str | None, tmp_path: Path
) -> None:
    """By ten minutes they may; from there on its users are refused, and the log says what to do."""
    async with apart(tmp_path, ahead_s) as both:
        assert await both.get() == (401 if reason else 200)
        assert both.refused() == ([reason] if reason else [])
        for why in both.refused("why"):
            assert "differ by more than 10 minutes: set both by NTP" in why


async def test_the_key_is_rotated_under_requests(tmp_path: Path) -> None:
    """New tokens by the new key at once; those of the old one, and who has them, are taken."""
    async with apart(tmp_path) as both:
        assert await both.get() == 200
        statuses: list[int] = []

        async def keep_on(subject: str) -> None:
            while len(statuses) < 60:
                statuses.append(await both.get(subject))

        async with asyncio.TaskGroup() as group:
            for subject in ("ada", "bob", "eve"):
                group.create_task(keep_on(subject))
            serials = {both.signer.serial}
            for count in (10, 20, 30, 40):
                while len(statuses) < count:
                    await asyncio.sleep(0)
                both.names.authority.issue(SIGNER)
                assert both.signer.look()
                serials.add(both.signer.serial)

        assert set(statuses) == {200}
        assert len(serials) == 5
        assert both.refused() == []


async def test_the_authority_is_rotated_under_requests(tmp_path: Path) -> None:
    """The next one beside the old one, then the old one no more: nobody is refused."""
    async with apart(tmp_path) as both:
        authority = both.names.authority
        old = both.signer()
        for step in (authority.announce, authority.switch, authority.forget):
            assert [await both.get(), await both.get("bob")] == [200, 200]
            step()
            both.look()
            assert [await both.get(), await both.get("bob")] == [200, 200]

        assert both.refused() == []
        assert both.signer() is not old


async def test_what_the_old_authority_signed_is_refused(tmp_path: Path) -> None:
    """A gateway that has not heard of the new authority finds no service that believes it."""
    async with apart(tmp_path) as both:
        authority = both.names.authority
        assert await both.get() == 200
        authority.announce()
        authority.switch()
        for identity in both.identities:
            identity.look()
        assert await both.get() == 200  # signed by the old one, which is trusted still
        authority.forget()
        for identity in both.identities:
            identity.look()

        assert await both.get() == 401
        assert both.refused() == ["signer"]
        both.signer.look()
        assert await both.get() == 200
        metrics = both.service.metrics.render().decode()
        assert 'holdfast_transaction_tokens_refused_total{reason="signer"} 1' in metrics


# -- what it is told at the start ------------------------------------------------------------------


def told(bakery: Identities, name: str = SIGNER) -> dict[str, str]:
    files = bakery.authority.issue(name)
    return {
        "HOLDFAST_TOKENS_CERT": str(files.certificate),
        "HOLDFAST_TOKENS_KEY": str(files.key),
        "HOLDFAST_CA": str(files.trusted),
    }


def test_an_environment_without_files_signs_nothing(tmp_path: Path) -> None:
    """Only a gateway before other processes has to."""
    bakery = Identities(tmp_path)
    assert signer_of({}, BAKERY, MachineClock()) is None
    assert signer_of({"HOLDFAST_CA": "x"}, BAKERY, MachineClock()) is None
    assert signer_of(told(bakery), BAKERY, MachineClock()) is not None


@pytest.mark.parametrize("missing", ["HOLDFAST_TOKENS_CERT", "HOLDFAST_TOKENS_KEY", "HOLDFAST_CA"])
def test_half_a_signer_is_refused(tmp_path: Path, missing: str) -> None:
    """The variable that is missing is named."""
    environ = told(Identities(tmp_path))
    del environ[missing]

    with pytest.raises(SettingError, match=f"{missing} is missing"):
        signer_of(environ, BAKERY, MachineClock())


@pytest.mark.parametrize("name", ["oven", "gateway", "all"])
def test_no_other_certificate_signs(tmp_path: Path, name: str) -> None:
    """No service would take it; the gateway says so before it starts."""
    with pytest.raises(SettingError, match=r"HOLDFAST_TOKENS_CERT=.*Ed25519"):
        signer_of(told(Identities(tmp_path), name), BAKERY, MachineClock())


def test_an_authority_of_ed25519_is_refused_at_the_start(tmp_path: Path) -> None:
    """Services would take nothing below it: cryptography has it for leaves alone."""
    bakery = Identities(tmp_path)
    files = bakery.authority.issue(SIGNER)
    made = Forge()  # of the tests' past, but its certificates can be made to last
    now_s, key = MachineClock().now(), ed25519.Ed25519PrivateKey.generate()

    def authority(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(subject, critical=False)
        )

    times = {"begins_s": now_s - 60, "ends_s": now_s + 600}
    own = made.certificate(key=key, by=(made.own, key), change=authority, **times)
    leaf = made.certificate(f"spiffe://{BAKERY}/gateway/tokens", by=(own, key), **times)
    files.trusted.write_bytes(own.public_bytes(Encoding.PEM))
    files.certificate.write_bytes(leaf.public_bytes(Encoding.PEM))
    pem = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files.key.write_bytes(pem)
    told = {
        "HOLDFAST_TOKENS_CERT": str(files.certificate),
        "HOLDFAST_TOKENS_KEY": str(files.key),
        "HOLDFAST_CA": str(files.trusted),
    }

    with pytest.raises(SettingError, match=r"would take what it signs.*Forbidden public key"):
        signer_of(told, BAKERY, MachineClock())


def test_a_gateway_that_nobody_would_believe_does_not_start(tmp_path: Path) -> None:
    """It has an identity, forwards to others, and nothing to sign with."""
    names = Identities(tmp_path / "identities")
    engines = embedded(lambda name: tmp_path / f"{name}.db", threads=1)
    on = replace(engines, identity=names.of("gateway")[0], discover=lambda name: [])
    options = Options(data=None, port=0, services=(), gateway=True)

    with pytest.raises(SettingError, match="HOLDFAST_TOKENS_CERT and HOLDFAST_TOKENS_KEY"):
        Process(SHOP, options, Logger(io.BytesIO(), MachineClock(), BAKERY), on)
