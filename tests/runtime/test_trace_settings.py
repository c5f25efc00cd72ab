"""OpenTelemetry's variables: each has its effect, and what is wrong is one report."""

import traceback
from pathlib import Path

import pytest

from holdfast.errors import SettingError
from holdfast.observability.exporter import ExportPolicy
from holdfast.runtime.trace_settings import RATIO, TraceSettings, trace_settings
from tests.certificates import Authority

AT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
OTLP = "OTEL_EXPORTER_OTLP"


def read(**variables: str) -> TraceSettings:
    """Read variables, with an endpoint unless they say another."""
    return trace_settings(AT | variables)


def problems(**variables: str) -> tuple[str, ...]:
    """Return what is wrong with variables, after a look for leaks."""
    with pytest.raises(SettingError) as caught:
        read(**variables)
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown
    return caught.value.problems


def test_without_an_endpoint_nothing_is_recorded() -> None:
    """All else is as OpenTelemetry has it, but for the ratio."""
    assert trace_settings({}) == TraceSettings("", RATIO, ExportPolicy())
    assert ExportPolicy() == ExportPolicy(5.0, 512, 2_048, 30.0, 10.0, (), False)


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"ENDPOINT": "http://collector:4318"}, "http://collector:4318/v1/traces"),
        ({"ENDPOINT": "http://collector:4318/"}, "http://collector:4318/v1/traces"),
        ({"ENDPOINT": "http://collector/otlp"}, "http://collector/otlp/v1/traces"),
        ({"TRACES_ENDPOINT": "http://tempo:1/x"}, "http://tempo:1/x"),
        ({"TRACES_ENDPOINT": "http://tempo:1"}, "http://tempo:1"),
        ({"ENDPOINT": "http://a", "TRACES_ENDPOINT": "http://b/c?d=e"}, "http://b/c?d=e"),
        ({"ENDPOINT": "http://[::1]:4318"}, "http://[::1]:4318/v1/traces"),
        ({"ENDPOINT": ""}, ""),
        ({"ENDPOINT": "http://a", "TRACES_ENDPOINT": ""}, "http://a/v1/traces"),
    ],
)
def test_where_spans_go(variables: dict[str, str], url: str) -> None:
    """The endpoint of traces is the whole address; to that of all signals, a path is added."""
    assert trace_settings({f"{OTLP}_{name}": v for name, v in variables.items()}).url == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_SDK_DISABLED", "TRUE"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ],
)
def test_tracing_can_be_switched_off(name: str, value: str) -> None:
    """Whatever else is set."""
    assert read(**{name: value}).url == ""


@pytest.mark.parametrize(
    ("name", "value"), [("SDK_DISABLED", "false"), ("TRACES_EXPORTER", "otlp")]
)
def test_and_it_is_on_where_nothing_is_said_against_it(name: str, value: str) -> None:
    """The usual values, written out."""
    assert read(**{f"OTEL_{name}": value}).url


@pytest.mark.parametrize(
    ("sampler", "argument", "ratio"),
    [
        ("", "", RATIO),
        ("", "0.25", 0.25),
        ("always_on", "", 1.0),
        ("always_on", "0.5", 1.0),
        ("always_off", "", 0.0),
        ("traceidratio", "0.5", 0.5),
        ("traceidratio", "", 1.0),
        ("parentbased_always_on", "", 1.0),
        ("parentbased_always_off", "0.5", 0.0),
        ("parentbased_traceidratio", "0", 0.0),
        ("parentbased_traceidratio", "", 1.0),
    ],
)
def test_how_many_are_sampled(sampler: str, argument: str, ratio: float) -> None:
    """An empty variable is none."""
    found = read(OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=argument)
    assert found.ratio == ratio


@pytest.mark.parametrize(
    ("variables", "policy"),
    [
        ({"OTEL_BSP_SCHEDULE_DELAY": "250"}, ExportPolicy(schedule_delay_s=0.25)),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "7"}, ExportPolicy(batch_max=7)),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "4096"}, ExportPolicy(queue_max=4_096)),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "9"}, ExportPolicy(queue_max=9, batch_max=9)),
        ({"OTEL_BSP_EXPORT_TIMEOUT": "1500"}, ExportPolicy(export_timeout_s=1.5)),
        ({f"{OTLP}_TIMEOUT": "700"}, ExportPolicy(timeout_s=0.7)),
        (
            {f"{OTLP}_TIMEOUT": "700", f"{OTLP}_TRACES_TIMEOUT": "300"},
            ExportPolicy(timeout_s=0.3),
        ),
        ({f"{OTLP}_COMPRESSION": "gzip"}, ExportPolicy(gzip=True)),
        ({f"{OTLP}_TRACES_COMPRESSION": "gzip"}, ExportPolicy(gzip=True)),
        (
            {f"{OTLP}_COMPRESSION": "gzip", f"{OTLP}_TRACES_COMPRESSION": "none"},
            ExportPolicy(gzip=False),
        ),
        (
            {f"{OTLP}_HEADERS": "api-key=a%20b%3D, tenant = shop ,"},
            ExportPolicy(headers=(("api-key", "a b="), ("tenant", "shop"))),
        ),
        (
            {f"{OTLP}_HEADERS": "a=1", f"{OTLP}_TRACES_HEADERS": "b=2=3"},
            ExportPolicy(headers=(("b", "2=3"),)),
        ),
        (
            {f"{OTLP}_PROTOCOL": "http/protobuf", f"{OTLP}_TRACES_PROTOCOL": "http/protobuf"},
            ExportPolicy(),
        ),
    ],
)
def test_how_spans_are_exported(variables: dict[str, str], policy: ExportPolicy) -> None:
    """Durations are in milliseconds; what is said of traces wins over what is said of all."""
    assert read(**variables).policy == policy


def test_what_is_said_of_the_resource() -> None:
    """Values are percent-encoded."""
    found = read(OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=prod,team=a%2Cb")

    assert found.resource == (("deployment.environment.name", "prod"), ("team", "a,b"))


BAD: list[tuple[str, str, str]] = [
    ("OTEL_SDK_DISABLED", "maybe", "valid boolean"),
    ("OTEL_TRACES_EXPORTER", "zipkin", "'otlp' or 'none'"),
    ("OTEL_PROPAGATORS", "b3", "tracecontext and baggage are handed on, and no others"),
    ("OTEL_TRACES_SAMPLER", "jaeger_remote", "'parentbased_traceidratio'"),
    ("OTEL_TRACES_SAMPLER_ARG", "50", "less than or equal to 1"),
    ("OTEL_TRACES_SAMPLER_ARG", "-0.1", "greater than or equal to 0"),
    ("OTEL_TRACES_SAMPLER_ARG", "nan", "less than or equal to 1"),
    ("OTEL_TRACES_SAMPLER_ARG", "some", "valid number"),
    ("OTEL_RESOURCE_ATTRIBUTES", "team", "name=value"),
    (f"{OTLP}_PROTOCOL", "grpc", "'http/protobuf'"),
    (f"{OTLP}_TRACES_PROTOCOL", "http/json", "'http/protobuf'"),
    (f"{OTLP}_COMPRESSION", "zstd", "'none' or 'gzip'"),
    (f"{OTLP}_TRACES_COMPRESSION", "br", "'none' or 'gzip'"),
    (f"{OTLP}_TIMEOUT", "10s", "valid integer"),
    (f"{OTLP}_TRACES_TIMEOUT", "0", "greater than or equal to 100"),
    ("OTEL_BSP_SCHEDULE_DELAY", "0", "greater than or equal to 10"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "greater than or equal to 1"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "99999", "less than or equal to 8192"),
    ("OTEL_BSP_EXPORT_TIMEOUT", "1", "greater than or equal to 100"),
    *(
        (f"{OTLP}_{kind}ENDPOINT", value, "http(s)://host[:port]")
        for kind in ("", "TRACES_")
        for value in (
            "collector:4318",
            "grpc://collector:4317",
            "http://",
            "http://collector:port",
            "http://collector/a b",
            "http://collector/#a",
            "unix:/run/collector.sock",
        )
    ),
]


@pytest.mark.parametrize(("name", "value", "remedy"), BAD)
def test_a_bad_value_is_named_with_its_remedy(name: str, value: str, remedy: str) -> None:
    """One line: the variable, its value, what it should be."""
    (problem,) = problems(**{name: value})

    assert problem.startswith(f"{name}={value!r}: ")
    assert remedy in problem
    assert "None" not in problem  # which nobody can write


def test_all_that_is_bad_is_one_report() -> None:
    """Of every kind of check: nobody mends one variable after the other."""
    bad = {name: value for name, value, _ in BAD} | {f"{OTLP}_HEADERS": "hunter2"}
    found = problems(**bad)

    assert {problem.partition("=")[0] for problem in found} == set(bad)
    assert len(found) == len(bad)


@pytest.mark.parametrize("name", [f"{OTLP}_HEADERS", f"{OTLP}_TRACES_HEADERS"])
@pytest.mark.parametrize(
    "value",
    [
        "hunter2",
        "=hunter2",
        "a=1,hunter2",
        "a=hunter2%0d%0aEvil: 1",
        "a=hunter2%00",
        "a b=hunter2",
        "a:hunter2",
        "é=hunter2",
    ],
)
def test_secrets_in_headers_are_not_shown(name: str, value: str) -> None:
    """The variable is named, not its value; no chained error holds it either."""
    (problem,) = problems(**{name: value})

    assert problem.startswith(f"{name}=(a secret): ")
    assert "name=value" in problem


def test_secrets_in_headers_are_not_shown_beside_other_trouble() -> None:
    """Good ones neither."""
    (problem,) = problems(**{f"{OTLP}_HEADERS": "a=hunter2", f"{OTLP}_TIMEOUT": "x"})

    assert problem.startswith(f"{OTLP}_TIMEOUT=")


def test_a_password_in_an_endpoint_is_not_shown() -> None:
    """It has no place there, as headers are for that; the report does not print it."""
    (problem,) = problems(**{f"{OTLP}_ENDPOINT": "https://ada:hunter2@collector:4318"})

    assert problem.startswith(f"{OTLP}_ENDPOINT='https://[redacted]@collector:4318'")


def test_certificates_are_loaded_where_they_are_needed(tmp_path: Path) -> None:
    """For https alone: what nobody uses need not be there."""
    authority = Authority(tmp_path)
    files = authority.issue("shop")
    variables = {
        f"{OTLP}_CERTIFICATE": "/nowhere",
        f"{OTLP}_TRACES_CERTIFICATE": str(authority.file),
        f"{OTLP}_CLIENT_CERTIFICATE": str(files.certificate),
        f"{OTLP}_CLIENT_KEY": str(files.key),
    }

    assert read(**variables).tls is None
    found = read(**variables, **{f"{OTLP}_ENDPOINT": "https://collector"}).tls
    assert found is not None
    assert [each["subject"] for each in found.get_ca_certs()] == [((("commonName", "authority"),),)]


def test_bad_certificates_are_one_report(tmp_path: Path) -> None:
    """Each names its own variables."""
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    authority, pair = problems(
        **{
            f"{OTLP}_ENDPOINT": "https://collector",
            f"{OTLP}_TRACES_CERTIFICATE": str(nonsense),
            f"{OTLP}_CLIENT_CERTIFICATE": "/nowhere.pem",
            f"{OTLP}_TRACES_CLIENT_KEY": "/key.pem",
        }
    )

    assert authority.startswith(f"{OTLP}_TRACES_CERTIFICATE={str(nonsense)!r}: ")
    assert f"{OTLP}_CLIENT_CERTIFICATE='/nowhere.pem'" in pair
    assert f"{OTLP}_TRACES_CLIENT_KEY='/key.pem'" in pair
    assert "PEM" in authority
    assert "PEM" in pair


@pytest.mark.parametrize("name", ["CLIENT_CERTIFICATE", "TRACES_CLIENT_KEY"])
def test_a_certificate_needs_its_key(name: str) -> None:
    """And the other way round."""
    (problem,) = problems(
        **{f"{OTLP}_ENDPOINT": "https://collector", f"{OTLP}_{name}": "/etc/x.pem"}
    )

    assert f"{OTLP}_{name}='/etc/x.pem'" in problem
    assert "set both, or neither" in problem
