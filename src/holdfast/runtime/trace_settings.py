"""Where spans are exported to, and how many: OpenTelemetry's own variables.

Source: OpenTelemetry specification 1.49, "Environment variables" and "OTLP exporter"; durations are
in milliseconds there, also where the Python SDK reads seconds.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, Field, SecretStr

from holdfast.communication.origin import origin_and_path
from holdfast.contract.model import Model
from holdfast.errors import SettingError
from holdfast.observability.exporter import ExportPolicy
from holdfast.observability.redact import scrub
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

_is_header = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_is_path = re.compile(r'/[!"$-~]*').fullmatch
_PAIRS = "write it as name=value,name=value, and values percent-encoded"


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Return `name=value,…` as pairs; values are percent-encoded. Raises ValueError."""
    pairs: list[tuple[str, str]] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name or any(c in unquote(part) for c in "\r\n\0"):
            raise ValueError(_PAIRS)
        pairs.append((name, unquote(value)))
    return tuple(pairs)


def _checked_pairs(text: str) -> str:
    _pairs(text)
    return text


def _checked_headers(text: SecretStr) -> SecretStr:
    if not all(_is_header(name) for name, _ in _pairs(text.get_secret_value())):
        raise ValueError(_PAIRS)
    return text


def _checked_url(text: str) -> str:
    try:
        path = origin_and_path(text)[1]
    except ValueError:
        path = ""
    if not text.startswith(("http://", "https://")) or not _is_path(path):
        raise ValueError("write it as http(s)://host[:port]")
    return text


def _checked_propagators(text: str) -> str:
    if not {part.strip() for part in text.split(",")} <= {"tracecontext", "baggage"}:
        raise ValueError("tracecontext and baggage are handed on, and no others")
    return text


Endpoint = Annotated[str, AfterValidator(_checked_url)]
Headers = Annotated[SecretStr, AfterValidator(_checked_headers)]


class OtelSettings(Model):
    """Each field is a variable `OTEL_<FIELD>`; those of `traces` win over those of all signals."""

    sdk_disabled: bool = False
    traces_exporter: Literal["otlp", "none"] = "otlp"
    traces_sampler: Sampler | None = None
    traces_sampler_arg: float | None = Field(default=None, ge=0, le=1)
    propagators: Annotated[str, AfterValidator(_checked_propagators)] = "tracecontext,baggage"
    resource_attributes: Annotated[str, AfterValidator(_checked_pairs)] = ""
    exporter_otlp_endpoint: Endpoint = ""
    exporter_otlp_traces_endpoint: Endpoint = ""
    exporter_otlp_protocol: Literal["http/protobuf"] = "http/protobuf"
    exporter_otlp_traces_protocol: Literal["http/protobuf"] | None = None
    exporter_otlp_headers: Headers = SecretStr("")
    exporter_otlp_traces_headers: Headers = SecretStr("")
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

    def of_traces(self, name: str) -> tuple[str, str]:
        """Return a text of the exporter, that of traces or else that of all, and its variable."""
        own, every = f"exporter_otlp_traces_{name}", f"exporter_otlp_{name}"
        field = own if getattr(self, own) else every
        return getattr(self, field), variable_name(OTEL, field)


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """What they come to.

    Attributes:
        url: where spans are posted; "": nowhere, none are recorded.
        ratio: the share of new traces that are sampled.
        resource: attributes of every service, beyond its names.
    """

    url: str = field(repr=False)
    ratio: float
    policy: ExportPolicy
    resource: tuple[tuple[str, str], ...] = ()
    tls: ssl.SSLContext | None = None


def trace_settings(environ: Mapping[str, str]) -> TraceSettings:
    """Read them. Raises SettingError with every bad value."""
    try:
        read = read_settings(OtelSettings, OTEL, environ)
    except SettingError as exc:
        raise SettingError([scrub(problem) for problem in exc.problems]) from None
    url = _url(read)
    headers = read.exporter_otlp_traces_headers or read.exporter_otlp_headers
    return TraceSettings(
        url,
        _ratio(read),
        ExportPolicy(
            read.bsp_schedule_delay / 1000,
            min(read.bsp_max_export_batch_size, read.bsp_max_queue_size),
            read.bsp_max_queue_size,
            read.bsp_export_timeout / 1000,
            (read.exporter_otlp_traces_timeout or read.exporter_otlp_timeout) / 1000,
            _pairs(headers.get_secret_value()),
            (read.exporter_otlp_traces_compression or read.exporter_otlp_compression) == "gzip",
        ),
        _pairs(read.resource_attributes),
        _tls(read) if url.startswith("https://") else None,
    )


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


def _url(read: OtelSettings) -> str:
    """Return where spans are posted; of traces it is the whole URL, else a path is added."""
    base = read.exporter_otlp_endpoint
    if read.sdk_disabled or read.traces_exporter == "none":
        return ""
    return read.exporter_otlp_traces_endpoint or (f"{base.rstrip('/')}/v1/traces" if base else "")


def _tls(read: OtelSettings) -> ssl.SSLContext:
    """Return how the receiver is trusted and, with a certificate of ours, trusts us."""
    authority, its_name = read.of_traces("certificate")
    certificate, name = read.of_traces("client_certificate")
    key, key_name = read.of_traces("client_key")
    problems: list[str] = []
    context = ssl.create_default_context()
    try:
        if authority:
            context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as exc:
        problems.append(f"{its_name}={authority!r}: {exc}; set it to a file of PEM certificates")
    try:
        if certificate and key:
            context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as exc:
        problems.append(
            f"{name}={certificate!r} and {key_name}={key!r}: {exc}; set them to PEM files, of a "
            "certificate and its key without a password"
        )
    if bool(certificate) != bool(key):
        problems.append(f"{name}={certificate!r} and {key_name}={key!r}: set both, or neither")
    if problems:
        raise SettingError(problems)
    return context
