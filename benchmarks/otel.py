"""The ways in which a route is traced, and the settings that say so."""

ABSENT, UNSAMPLED, FEW, ALL = "no receiver", "none sampled", "1 % sampled", "all sampled"
BARE = ", without the SDK"
SHARES = {
    ABSENT: "",
    UNSAMPLED: "0",
    UNSAMPLED + BARE: "0",
    FEW: "0.01",
    ALL: "1",
    ALL + BARE: "1",
}
"""{way: the share that is sampled; "" where no receiver is named}."""


def environ(url: str, share: str) -> dict[str, str]:
    """Return OpenTelemetry's variables, which both sides read."""
    if not share:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": share,
    }
