"""Where spans are exported to, and how many: OpenTelemetry's own variables.

Source: OpenTelemetry specification 1.49, "Environment variables" and "OTLP exporter"; durations are
in milliseconds there, also where the Python SDK reads seconds.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from pydantic import Field

from holdfast.communication.origin import origin_and_path
from holdfast.contract.model import Model
from holdfast.errors import SettingError
from holdfast.observability.exporter import ExportPolicy
from holdfast.runtime.variables import OTEL
from holdfast.system.settings import read_settings, variable_name

RATIO = 0.01
"""The share of traces that are sampled where nothing says another one."""

Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


class OtelSettings(Model):
    """Each field is a variable `OTEL_<FIELD>`; those of `traces` win over those of all signals."""

    sdk_disabled: bool = False
    traces_exporter: Literal["otlp", "none"] = "otlp"
    traces_sampler: Sampler | None = None
    traces_sampler_arg: float | None = Field(default=None, ge=0, le=1)
    resource_attributes: str = ""
    exporter_otlp_endpoint: str = ""
    exporter_otlp_traces_endpoint: str = ""
    exporter_otlp_protocol: Literal["http/protobuf"] = "http/protobuf"
    exporter_otlp_traces_protocol: Literal["http/protobuf"] | None = None
    exporter_otlp_headers: str = ""
    exporter_otlp_traces_headers: str = ""
    exporter_otlp_compression: Literal["none", "gzip"] = "none"
    exporter_otlp_traces_compression: Literal["none", "gzip"] | None = None
    exporter_otlp_timeout: int = Field(default=10_000, ge=100, le=600_000)
    exporter_otlp_traces_timeout: int | None = Field(default=None, ge=100, le=600_000)
    exporter_otlp_certificate: str = ""
    exporter_otlp_traces_certificate: str = ""
    exporter_otlp_client_certificate: str = ""
    exporter_otlp_traces_client_certificate: str = ""
    exporter_otlp_client_key: str = ""
    exporter_otlp_traces_client_key: str = ""
    bsp_schedule_delay: int = Field(default=5_000, ge=10, le=600_000)
    bsp_max_queue_size: int = Field(default=2_048, ge=1, le=1_000_000)
    bsp_max_export_batch_size: int = Field(default=512, ge=1, le=8_192)
    bsp_export_timeout: int = Field(default=30_000, ge=100, le=600_000)

    def of_traces(self, name: str) -> str:
        """Return a text setting of the exporter: that of traces, or else that of all signals."""
        own: str = getattr(self, f"exporter_otlp_traces_{name}")
        return own or getattr(self, f"exporter_otlp_{name}")


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """What they come to.

    Attributes:
        url: where spans are posted; "": nowhere, none are recorded.
        ratio: the share of new traces that are sampled.
        resource: attributes of every service, beyond its names.
    """

    url: str
    ratio: float
    policy: ExportPolicy
    resource: tuple[tuple[str, str], ...] = ()
    tls: ssl.SSLContext | None = None


def trace_settings(environ: Mapping[str, str]) -> TraceSettings:
    """Read them. Raises SettingError with every bad value."""
    read = read_settings(OtelSettings, OTEL, environ)
    problems: list[str] = []
    url = _url(read, problems)
    settings = TraceSettings(
        url if read.traces_exporter == "otlp" and not read.sdk_disabled else "",
        _ratio(read),
        ExportPolicy(
            read.bsp_schedule_delay / 1000,
            min(read.bsp_max_export_batch_size, read.bsp_max_queue_size),
            read.bsp_max_queue_size,
            read.bsp_export_timeout / 1000,
            (read.exporter_otlp_traces_timeout or read.exporter_otlp_timeout) / 1000,
            _pairs("exporter_otlp_headers", read.of_traces("headers"), problems),
            (read.exporter_otlp_traces_compression or read.exporter_otlp_compression) == "gzip",
        ),
        _pairs("resource_attributes", read.resource_attributes, problems),
        _tls(read, problems) if url.startswith("https://") else None,
    )
    if problems:
        raise SettingError(problems)
    return settings


def _ratio(read: OtelSettings) -> float:
    """Return the ratio; a caller's decision is followed by every sampler, so they are few."""
    match read.traces_sampler:
        case None:
            return RATIO if read.traces_sampler_arg is None else read.traces_sampler_arg
        case "always_on" | "parentbased_always_on":
            return 1.0
        case "always_off" | "parentbased_always_off":
            return 0.0
        case "traceidratio" | "parentbased_traceidratio":
            return 1.0 if read.traces_sampler_arg is None else read.traces_sampler_arg


def _url(read: OtelSettings, problems: list[str]) -> str:
    own, base = read.exporter_otlp_traces_endpoint, read.exporter_otlp_endpoint
    url = own or (f"{base.rstrip('/')}/v1/traces" if base else "")
    if url:
        try:
            origin_and_path(url)
        except ValueError:
            field = "exporter_otlp_traces_endpoint" if own else "exporter_otlp_endpoint"
            name = variable_name(OTEL, field)
            problems.append(f"{name}={own or base!r}: write it as http(s)://host[:port]")
    return url


def _pairs(field: str, text: str, problems: list[str]) -> tuple[tuple[str, str], ...]:
    """Return `name=value,…` as pairs; values are percent-encoded."""
    pairs: list[tuple[str, str]] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or any(c in unquote(part) for c in "\r\n\0"):
            problems.append(f"{variable_name(OTEL, field)}: write it as name=value,name=value")
            break
        pairs.append((name.strip(), unquote(value.strip())))
    return tuple(pairs)


def _tls(read: OtelSettings, problems: list[str]) -> ssl.SSLContext | None:
    """Return how the receiver is trusted and, with a certificate of ours, trusts us."""
    authority = read.of_traces("certificate")
    certificate, key = read.of_traces("client_certificate"), read.of_traces("client_key")
    if bool(certificate) != bool(key):
        problems.append(
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY: set both, or "
            "neither"
        )
        return None
    try:
        context = ssl.create_default_context(cafile=authority or None)
        if certificate:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as exc:
        problems.append(f"OTEL_EXPORTER_OTLP_CERTIFICATE and CLIENT_*: {exc}")
        return None
    return context
