"""What a process says of itself with its spans."""

from holdfast.contract.cause import Cause
from holdfast.observability.span import SpanKind, SpanSort
from holdfast.observability.trace import NO_CONTEXT
from holdfast.runtime.telemetry import Machine, Telemetry
from holdfast.runtime.trace_settings import trace_settings
from tests.otlp_receiver import receiving


async def test_a_resource_has_each_attribute_once() -> None:
    """A user's namespace wins; the name is the service's, as one process has several."""
    with receiving() as receiver:
        settings = trace_settings(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
                "OTEL_RESOURCE_ATTRIBUTES": "service.name=x,service.namespace=prod,team=a",
                "OTEL_EXPORTER_OTLP_HEADERS": "tenant=shop%20eu",
            }
        )
        telemetry = Telemetry("shop", ("orders", "stock"), settings, Machine(), print)
        telemetry.start()
        tracer = telemetry.tracing.tracer
        for service in ("orders", "stock"):
            cause = Cause(trace=f"00-{'a' * 32}-{'b' * 16}-01")
            tracer.make_current(tracer.enter(cause, service=service))
            with telemetry.tracing.part(SpanSort("work", SpanKind.INTERNAL)):
                pass
        tracer.make_current(NO_CONTEXT)
        await telemetry.stop()

    orders, stock = (span.resource for span in receiver.spans)
    assert orders.pop("service.instance.id") == stock.pop("service.instance.id")
    assert orders == {"service.name": "orders", "service.namespace": "prod", "team": "a"}
    assert stock == {"service.name": "stock", "service.namespace": "prod", "team": "a"}
    assert receiver.requests[0]["tenant"] == "shop eu"


async def test_without_a_receiver_nothing_is_recorded() -> None:
    """And nothing is to be stopped."""
    telemetry = Telemetry("shop", ("orders",), trace_settings({}), Machine(), print)
    telemetry.start()
    await telemetry.stop()

    assert telemetry.tracing.spans is None
