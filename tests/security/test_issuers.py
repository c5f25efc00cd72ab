"""What well-known issuers really send is accepted by their presets, and each knob does its part."""

from dataclasses import fields, replace
from typing import Any

import pytest

from holdfast import Tokens
from holdfast.errors import Unauthenticated
from holdfast.runtime.keys import token_policy
from holdfast.security import (
    CachedKeys,
    Claims,
    FixedKeys,
    Jwks,
    TokenPolicy,
    TokenRefused,
    TokenVerifier,
    read_jwks,
)

from .forge import (
    AUDIENCE,
    ISSUER,
    NOW_S,
    POLICY,
    ManualClock,
    RotatingKeys,
    claims,
    header,
    issuer_jwks,
    private_key,
    public_jwk,
    token,
)

TENANT = "11111111-2222-3333-4444-555555555555"
GUID = "66666666-7777-8888-9999-000000000000"
POOL = "eu-west-1_AbCdEfGhI"
TIMES = {"iat": NOW_S, "exp": NOW_S + 300}

# Each is what the issuer's documentation shows, with our times: (preset, JWKS, header, claims).
SENT: dict[str, tuple[Tokens, str, dict[str, Any], dict[str, Any], set[str], str]] = {
    "keycloak": (
        Tokens.keycloak("https://id.example/realms/shop/", "shop-api", client_roles="shop-api"),
        "https://id.example/realms/shop/protocol/openid-connect/certs",
        {"alg": "RS256", "typ": "JWT", "kid": "rs"},
        {
            **TIMES,
            "jti": "onrtac:0bb6",
            "iss": "https://id.example/realms/shop",
            "aud": ["shop-api", "account"],
            "sub": "1f2e",
            "typ": "Bearer",
            "azp": "web",
            "sid": "s",
            "acr": "1",
            "allowed-origins": ["*"],
            "realm_access": {"roles": ["offline_access", "Chef de rang"]},
            "resource_access": {
                "shop-api": {"roles": ["orders:write"]},
                "account": {"roles": ["x"]},
            },
            "scope": "openid email profile",
        },
        {"openid", "email", "profile", "offline_access", "Chef de rang", "orders:write"},
        "web",
    ),
    "auth0": (
        Tokens.auth0("shop.eu.auth0.com", "https://api.shop.example"),
        "https://shop.eu.auth0.com/.well-known/jwks.json",
        {"alg": "RS256", "typ": "JWT", "kid": "rs"},
        {
            "iss": "https://shop.eu.auth0.com/",
            "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
            "aud": ["https://api.shop.example", "https://shop.eu.auth0.com/userinfo"],
            "iat": NOW_S,
            "exp": NOW_S + 86_400,
            "azp": "my_client_id",
            "scope": "openid profile read:orders",
            "permissions": ["write:orders"],
        },
        {"openid", "profile", "read:orders", "write:orders"},
        "my_client_id",
    ),
    "auth0, RFC 9068": (
        Tokens.auth0("https://shop.eu.auth0.com/", "https://api.shop.example"),
        "https://shop.eu.auth0.com/.well-known/jwks.json",
        {"alg": "RS256", "typ": "at+jwt", "kid": "rs"},
        {
            "iss": "https://shop.eu.auth0.com/",
            "sub": "worker@clients",
            "aud": "https://api.shop.example",
            "iat": NOW_S,
            "exp": NOW_S + 86_400,
            "jti": "HaLyrpKEPkl",
            "client_id": "worker",
        },
        set(),
        "worker",
    ),
    "entra": (
        Tokens.entra(TENANT, GUID),
        f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys",
        {"typ": "JWT", "alg": "RS256", "kid": "rs", "x5t": "rs"},
        {
            "aud": GUID,
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "iat": NOW_S,
            "nbf": NOW_S,
            "exp": NOW_S + 4_500,
            "aio": "A",
            "azp": "web",
            "azpacr": "0",
            "oid": "o",
            "rh": "0.",
            "roles": ["Orders.Write.All"],
            "scp": "Orders.Read Orders.Write",
            "sub": "pairwise",
            "tid": TENANT,
            "uti": "u",
            "ver": "2.0",
        },
        {"Orders.Read", "Orders.Write", "Orders.Write.All"},
        "web",
    ),
    "entra, version 1": (
        Tokens.entra(TENANT, f"api://{GUID}", version=1),
        f"https://login.microsoftonline.com/{TENANT}/discovery/keys",
        {"typ": "JWT", "alg": "RS256", "kid": "rs", "x5t": "rs"},
        {
            "aud": f"api://{GUID}",
            "iss": f"https://sts.windows.net/{TENANT}/",
            "iat": NOW_S,
            "nbf": NOW_S,
            "exp": NOW_S + 100_800,
            "appid": "web",
            "appidacr": "0",
            "scp": "user_impersonation",
            "sub": "pairwise",
            "ver": "1.0",
        },
        {"user_impersonation"},
        "web",
    ),
    "cognito": (
        Tokens.cognito(POOL, ("web", "phone")),
        f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL}/.well-known/jwks.json",
        {"kid": "rs", "alg": "RS256"},
        {
            "sub": "aaaa-bbbb",
            "cognito:groups": ["clerks"],
            "iss": f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL}",
            "client_id": "phone",
            "origin_jti": "o",
            "token_use": "access",
            "scope": "openid shop/orders.read",
            "auth_time": NOW_S,
            "iat": NOW_S,
            "exp": NOW_S + 3_600,
            "jti": "j",
            "username": "ada",
        },
        {"openid", "shop/orders.read", "clerks"},
        "phone",
    ),
    "google": (
        Tokens.google("web.apps.googleusercontent.com", hosted_domain="shop.example"),
        "https://www.googleapis.com/oauth2/v3/certs",
        {"alg": "RS256", "kid": "rs", "typ": "JWT"},
        {
            "iss": "https://accounts.google.com",
            "azp": "web.apps.googleusercontent.com",
            "aud": "web.apps.googleusercontent.com",
            "sub": "110169484474386276334",
            "hd": "shop.example",
            "email": "ada@shop.example",
            "email_verified": True,
            "at_hash": "h",
            "iat": NOW_S,
            "exp": NOW_S + 3_600,
        },
        set(),
        "web.apps.googleusercontent.com",
    ),
}

OTHER_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "keycloak, ID token": ("keycloak", {"typ": "ID"}),
    "keycloak, refresh token": ("keycloak", {"typ": "Refresh"}),
    "keycloak, without a mapper for the audience": ("keycloak", {"aud": "account"}),
    "auth0, ID token": ("auth0", {"aud": "my_client_id", "azp": None, "scope": None}),
    "entra, ID token": ("entra", {"azp": None, "scp": None}),
    "entra, ID token of version 1": ("entra, version 1", {"appid": None, "scp": None}),
    "entra, another version": ("entra", {"ver": "1.0"}),
    "cognito, ID token": ("cognito", {"token_use": "id", "client_id": None, "aud": "phone"}),
    "cognito, another app": ("cognito", {"client_id": "tv"}),
    "google, another app": ("google", {"aud": "evil.apps.googleusercontent.com"}),
    "google, a private account": ("google", {"hd": None}),
    "google, another domain": ("google", {"hd": "evil.example"}),
}


def judge(policy: TokenPolicy, jwks: Jwks | None = None) -> TokenVerifier:
    return TokenVerifier(policy, FixedKeys(jwks or issuer_jwks()), ManualClock())


async def refusal(verifier: TokenVerifier, forged: str) -> TokenRefused:
    """Return why a token was refused."""
    with pytest.raises(Unauthenticated, match="invalid or has expired") as caught:
        await verifier.verify(forged)
    assert isinstance(caught.value.__cause__, TokenRefused)
    return caught.value.__cause__


@pytest.mark.parametrize("name", SENT)
async def test_what_an_issuer_sends_is_accepted_by_its_preset(name: str) -> None:
    """Times, header, audience, scopes and the calling application are read as the issuer means."""
    tokens, jwks_url, head, body, scopes, client = SENT[name]

    found = await judge(token_policy(tokens)).verify(token(head, body))

    assert (found.subject, found.scopes, found.client) == (body["sub"], scopes, client)
    assert found.expires_at == body["exp"]
    assert tokens.keys == jwks_url


@pytest.mark.parametrize("name", SENT)
async def test_the_default_refuses_what_needs_a_preset(name: str) -> None:
    """Strict by default: of what the issuers send only RFC 9068 passes without a preset."""
    tokens, _, head, body, _, _ = SENT[name]
    strict = judge(TokenPolicy(tokens.issuer, tokens.audience))

    if head.get("typ") == "at+jwt":
        assert await strict.verify(token(head, body))
    else:
        assert (await refusal(strict, token(head, body))).reason == "typ"


@pytest.mark.parametrize("name", OTHER_KINDS)
async def test_another_token_of_the_same_issuer_is_refused(name: str) -> None:
    """ID and refresh tokens, other applications and other domains are signed by the same keys."""
    preset, changes = OTHER_KINDS[name]
    tokens, _, head, body, _, _ = SENT[preset]
    other = {name: value for name, value in {**body, **changes}.items() if value is not None}

    assert (await refusal(judge(token_policy(tokens)), token(head, other))).reason in (
        "claim",
        "audience",
    )


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Tokens.entra("common", GUID), "stands for many issuers"),
        (lambda: Tokens.entra(TENANT, GUID, version=3), "version must be 1 or 2"),
        (lambda: Tokens.cognito("AbCdEfGhI", "web"), "write the pool's id"),
    ],
)
def test_a_preset_names_one_issuer(make: Any, complaint: str) -> None:
    """What would stand for many issuers, or none, is refused where it is written."""
    with pytest.raises(ValueError, match=complaint):
        make()


def test_every_knob_of_tokens_reaches_the_policy() -> None:
    """What a system declares is what its gateway checks."""
    declared = Tokens(
        issuer=("a", "b"),
        audience=("c", "d"),
        keys="https://a/jwks",
        algorithms=("RS256",),
        typ=("JWT", ""),
        leeway_s=2.5,
        max_lifetime_s=7.0,
        required=("sid",),
        fractional_times=True,
        kid_required=False,
        audience_claim="client_id",
        subject_claim="azp",
        subject_prefix="staff:",
        client_claims=("appid",),
        scope_claims=("scp", ("a", "b")),
        scope_form="list",
        claims={"hd": "x"},
        token_bytes_max=9,
        dpop="accepted",
    )

    policy = token_policy(declared)

    for knob in {field.name for field in fields(declared)} - {"keys"}:
        name = "max_token_bytes" if knob == "token_bytes_max" else knob
        expected = {"leeway_s": 3, "algorithms": frozenset({"RS256"})}
        assert getattr(policy, name) == expected.get(knob, getattr(declared, knob))
        if knob not in ("issuer", "audience"):
            default = next(field for field in fields(declared) if field.name == knob)
            assert getattr(declared, knob) != default.default


KNOBS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "another issuer": ({"issuer": ("x", ISSUER)}, {}, {}),
    "an audience of two": ({"audience": ("x", AUDIENCE)}, {}, {"aud": [AUDIENCE, "y"]}),
    "a lifetime of a year": ({"max_lifetime_s": 31_536_000}, {}, {"exp": NOW_S + 31_536_000}),
    "no iat": ({"required": ()}, {}, {"iat": None}),
    "no iat, just expired": ({"required": ()}, {}, {"iat": None, "exp": NOW_S - 3}),
    "fractions": (
        {"fractional_times": True},
        {},
        {"iat": NOW_S - 0.5, "nbf": NOW_S + 3.9, "exp": NOW_S + 86_399.9},
    ),
    "no typ": ({"typ": ("at+jwt", "")}, {"typ": None}, {"jti": None}),
    "JWT or at+jwt, JWT": ({"typ": ("at+jwt", "JWT")}, {"typ": "JWT"}, {"jti": None}),
    "JWT or at+jwt, at+jwt": ({"typ": ("JWT", "at+jwt")}, {}, {}),
    "a list": ({"scope_form": "list"}, {}, {"scope": ["a"]}),
    "scp": ({"scope_claims": ("scp",)}, {}, {"scope": [1], "scp": "a"}),
    "no subject": ({"subject_claim": "client_id"}, {}, {"sub": None, "client_id": "user-1"}),
    "a client for an audience": ({"audience_claim": "azp"}, {}, {"aud": None, "azp": AUDIENCE}),
    "one of two values": ({"claims": {"use": ("a", "b")}}, {}, {"use": "b"}),
}


ALSO_BY_DEFAULT = {
    *(
        "a list",
        "another issuer",
        "an audience of two",
        "JWT or at+jwt, at+jwt",
        "one of two values",
    ),
}


@pytest.mark.parametrize("name", KNOBS)
async def test_a_knob_opens_what_it_says(name: str) -> None:
    """What the knob is for is accepted with it and refused without it."""
    knob, head, body = KNOBS[name]
    sent = token(header(**head), claims(**body))

    found = await judge(replace(POLICY, **knob)).verify(sent)

    assert found.subject == "user-1"
    if name not in ALSO_BY_DEFAULT:
        await refusal(judge(POLICY), sent)


@pytest.mark.parametrize(
    ("knob", "changes", "reason"),
    [
        ({"required": ()}, {"iat": None, "exp": NOW_S + 86_401}, "lifetime"),
        ({"required": ()}, {"iat": None, "exp": 10**400}, "lifetime"),
        ({"required": ()}, {"iat": NOW_S + 6}, "not_yet"),
        ({"required": ()}, {"iat": "soon"}, "claim"),
        ({"required": ("iat", "sid")}, {}, "claim"),
        ({"fractional_times": True}, {"exp": NOW_S - 4.5 - 0.6}, "expired"),
        ({"fractional_times": True}, {"exp": -0.5}, "claim"),
        ({"fractional_times": True}, {"exp": 1e300}, "claim"),
        ({"fractional_times": True}, {"exp": True}, "claim"),
        ({"fractional_times": True}, {"nbf": NOW_S + 5.1}, "not_yet"),
        ({"fractional_times": True}, {"iat": NOW_S + 6.5}, "not_yet"),
        ({"scope_form": "list"}, {"scope": "a"}, "scope"),
        ({"scope_form": "text"}, {"scope": ["a"]}, "scope"),
        ({"scope_form": "text"}, {"scp": ["a"]}, "scope"),
        ({"scope_form": "either"}, {"scope": ["a", 1]}, "scope"),
        ({"scope_form": "either"}, {"scope": ["a", ""]}, "scope"),
        ({"scope_form": "either"}, {"scope": ["a\nb"]}, "scope"),
        ({"scope_form": "either"}, {"scope": {"a": True}}, "scope"),
        ({"scope_form": "either"}, {"scope": "a  b"}, "scope"),
        ({"scope_claims": (("a", "b"),)}, {"a": ["b"]}, "scope"),
        ({"claims": {"use": ("a", "b")}}, {"use": ["a"]}, "claim"),
        ({"claims": {"use": "a"}}, {}, "claim"),
        ({"audience_claim": "azp"}, {"azp": None}, "audience"),
        ({}, {"client_id": 1}, "claim"),
        ({}, {"client_id": "a\nb"}, "claim"),
    ],
    ids=str,
)
async def test_a_knob_opens_no_more(
    knob: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    """Beside what it is for, a token that was refused is refused, for a reason that is named."""
    refused = await refusal(judge(replace(POLICY, **knob)), token(body=claims(**changes)))

    assert refused.reason == reason


@pytest.mark.parametrize(
    "sent",
    [
        {"scope": "a b"},
        {"scope": None, "scp": "a b"},
        {"scope": None, "scp": ["a", "b"]},
        {"scope": ["a", "b"]},
        {"scope": "a", "scp": ["b"]},
        {"scope": "", "scp": "a b"},
    ],
    ids=str,
)
async def test_scopes_are_found_under_both_names(sent: dict[str, Any]) -> None:
    """`scope` (RFC 9068) and `scp` (Entra, Okta), as a text or as a list, without a knob."""
    found = await judge(POLICY).verify(token(body=claims(**sent)))

    assert found.scopes == {"a", "b"}


async def test_what_stands_in_a_list_is_one_scope() -> None:
    """A role with a space does not become two scopes."""
    policy = replace(POLICY, scope_form="either", scope_claims=("scope", ("realm", "roles")))
    body = claims(scope="a b", realm={"roles": ["admin orders:write", "c"]})

    found = await judge(policy).verify(token(body=body))

    assert found.scopes == {"a", "b", "admin orders:write", "c"}


def nameless(algorithm: str, number: int = 0) -> dict[str, Any]:
    jwk = public_jwk(private_key(algorithm, number), "")
    return {name: value for name, value in jwk.items() if name != "kid"}


LAX = replace(POLICY, kid_required=False)


def lax_set(*jwks: dict[str, Any]) -> Jwks:
    return read_jwks({"keys": list(jwks)}, kid_required=False)


@pytest.mark.parametrize("head", [{"kid": None}, {"kid": "whatever"}], ids=str)
async def test_keys_without_a_name_are_tried(head: dict[str, Any]) -> None:
    """Each key that fits is tried, whatever the token calls its own."""
    jwks = lax_set(*(nameless("EdDSA", number) for number in range(3)), nameless("ES256"))

    for number in range(3):
        good = token(header(**head), key=private_key("EdDSA", number))
        assert await judge(LAX, jwks).verify(good)

    forged = token(header(**head), key=private_key("EdDSA", 9))
    assert (await refusal(judge(LAX, jwks), forged)).reason == "signature"


async def test_a_token_without_a_name_is_tried_with_every_key() -> None:
    """Named keys are tried too, and a strict policy refuses such a token unread."""
    good = token(header("RS256", kid=None))

    assert await judge(LAX).verify(good)
    assert (await refusal(judge(POLICY), good)).reason == "kid"


async def test_a_token_costs_sixteen_tries_at_most() -> None:
    """A set with more keys that fit is not walked through for whoever asks."""
    jwks = lax_set(*(nameless("EdDSA", number) for number in range(17)))

    refused = await refusal(judge(LAX, jwks), token(header(kid=None)))

    assert refused.reason == "kid"
    assert "17 keys, over 16" in str(refused)


async def test_a_new_key_without_a_name_is_fetched() -> None:
    """If no key of the set signed, a newer set is asked for, and no key is tried twice."""
    keys = RotatingKeys(lax_set(nameless("EdDSA")))
    verifier = TokenVerifier(LAX, keys, ManualClock())
    rotated = token(header(kid=None), key=private_key("EdDSA", 1))

    assert (await refusal(verifier, rotated)).reason == "signature"
    assert keys.refreshes == 1
    keys.jwks = lax_set(nameless("EdDSA", 1))

    assert await verifier.verify(rotated)


async def test_one_name_for_keys_of_two_algorithms() -> None:
    """The token's algorithm chooses among the keys of its name, and never another kind of key."""
    jwks = read_jwks(
        {
            "keys": [
                public_jwk(private_key("RS256"), "k"),
                {**public_jwk(private_key("ES256"), "k"), "use": "enc"},
                public_jwk(private_key("EdDSA"), "k"),
            ]
        }
    )

    for algorithm in ("RS256", "EdDSA"):
        assert await judge(POLICY, jwks).verify(token(header(algorithm, kid="k")))

    encryption = token(header("ES256", kid="k"))
    assert (await refusal(judge(POLICY, jwks), encryption)).reason == "algorithm"


async def test_a_withdrawn_twin_takes_its_tokens_along() -> None:
    """Of two keys with one name, only the tokens of the one that left are forgotten."""
    clock = ManualClock()
    one, two = (public_jwk(private_key("EdDSA", number), "k") for number in (0, 1))
    both = read_jwks({"keys": [one, two]}, fresh_until_s=clock.monotonic_s + 10)
    keys = RotatingKeys(both)
    verifier = TokenVerifier(POLICY, keys, clock)
    kept, gone = (token(header(kid="k"), key=private_key("EdDSA", number)) for number in (0, 1))
    await verifier.verify(kept)
    await verifier.verify(gone)

    keys.jwks = read_jwks({"keys": [one]})
    clock.advance(10)

    assert (await refusal(verifier, gone)).reason == "signature"
    assert verifier.cached(kept) is not None


async def test_a_fetched_set_keeps_the_policys_word() -> None:
    """Keys without a name are fetched only for a policy that can use them."""

    async def fetch() -> dict[str, Any]:
        return {"keys": [nameless("EdDSA"), public_jwk(private_key("ES256"), "ec")]}

    strict = await CachedKeys(fetch, ManualClock()).keys(refresh=False)
    lax = await CachedKeys(fetch, ManualClock(), kid_required=False).keys(refresh=False)

    assert list(strict.keys) == ["ec"]
    assert list(lax.keys) == ["", "ec"]


async def test_the_client_is_the_first_claim_that_is_there() -> None:
    """RFC 9068 has `client_id`, OpenID Connect `azp`; a token without either names none."""
    seen = [
        (await judge(POLICY).verify(token(body=claims(**body)))).client
        for body in ({"client_id": "a", "azp": "b"}, {"azp": "b"}, {})
    ]

    assert seen == ["a", "b", ""]
    assert Claims("s", frozenset(), ISSUER, 1, "").client == ""
