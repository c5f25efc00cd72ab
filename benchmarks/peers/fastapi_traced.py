"""The peer's route with OpenTelemetry's own instrumentation, each request sampled and exported."""

import uvloop
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.peers.fastapi_app import app, main

if __name__ == "__main__":
    provider = TracerProvider()  # OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_ENDPOINT say the rest
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    FastAPIInstrumentor.instrument_app(app)
    uvloop.run(main())
