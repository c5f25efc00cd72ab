"""Which request headers a service may see: the others end at the gateway.

Declarations are checked against it, and the gateway goes by it.
"""

from functools import lru_cache

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110, section 7.6.1: these end at this connection."""

SPOOFABLE = frozenset(
    {
        # whose address
        b"forwarded",
        b"x-forwarded",
        b"forwarded-for",
        b"x-real-ip",
        b"x-client-ip",
        b"client-ip",
        b"true-client-ip",
        b"x-cluster-client-ip",
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"incap-client-ip",
        b"http-client-ip",
        b"proxy-client-ip",
        b"wl-proxy-client-ip",
        b"do-connecting-ip",
        b"x-nf-client-connection-ip",
        b"x-originating-ip",
        b"x-source-ip",
        b"x-proxyuser-ip",
        b"x-azure-clientip",
        b"x-azure-socketip",
        b"x-sucuri-clientip",
        b"x-custom-ip-authorization",
        b"z-forwarded-for",
        b"x-vercel-forwarded-for",
        b"front-end-https",
        b"x-arr-ssl",
        b"x-scheme",
        b"x-url-scheme",
        # who
        b"x-client-cert",
        b"client-cert",
        b"client-cert-chain",
        b"x-user",
        b"x-user-id",
        b"x-user-email",
        b"x-userinfo",
        b"x-auth-user",
        b"x-client-dn",
        b"x-client-verify",
        b"x-spiffe-id",
        b"x-endpoint-api-userinfo",
        b"x-apigateway-api-userinfo",
        b"txn-token",
        # of which trace
        b"x-request-id",
        b"x-correlation-id",
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"b3",
        b"uber-trace-id",
        b"sentry-trace",
        b"grpc-trace-bin",
        b"x-ot-span-context",
        b"x-cloud-trace-context",
        b"x-amzn-trace-id",
        # to which place, by which method
        b"x-host",
        b"x-original-host",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-method",
        b"x-original-uri",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-override-url",
        b"x-http-destinationurl",
    }
)
"""What a service might believe if it came from the gateway."""

_PREFIXES = (
    *(b"x-forwarded-", b"x-original-forwarded-", b"holdfast-", b"x-ssl-", b"ssl-client-"),
    *(b"remote-", b"x-remote-", b"x-authenticated-", b"x-auth-request-", b"x-webauth-"),
    *(b"x-envoy-", b"x-amzn-oidc-", b"x-ms-client-principal", b"x-goog-authenticated-"),
    *(b"x-goog-iap-", b"x-ms-token-", b"x-appengine-", b"x-consumer-", b"x-credential-"),
    *(b"cf-access-", b"tailscale-user-", b"x-pomerium-", b"x-vouch-", b"x-b3-", b"x-datadog-"),
)
"""The same, of proxies and platforms that write a whole family of them."""


@lru_cache(maxsize=1_024)
def crosses(name: bytes) -> bool:
    """Say whether a request header of this lower-case name crosses the gateway."""
    return not (
        name in HOP_BY_HOP or name in SPOOFABLE or name.startswith(_PREFIXES) or b"_" in name
    )
