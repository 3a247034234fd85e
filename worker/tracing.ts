import { context, propagation, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { Resource } from '@opentelemetry/resources'
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  NoopSpanProcessor,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { W3CTraceContextPropagator } from '@opentelemetry/core'

export interface Tracing {
  processor: SpanProcessor
  resource: Resource
  /** Sends what has not been sent. */
  close(): Promise<void>
}

/**
 * Gives this process trace ids, which travel with a job from the command through workflow and activity into every line of its
 * log. Spans are sent only where OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) names a collector, over
 * OTLP/HTTP.
 */
export function startTracing(service: string, environment: Record<string, string | undefined>): Tracing {
  const isSent = environment.OTEL_EXPORTER_OTLP_ENDPOINT || environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
  const processor = isSent ? new BatchSpanProcessor(new OTLPTraceExporter()) : new NoopSpanProcessor()
  const resource = new Resource({ 'service.name': environment.OTEL_SERVICE_NAME || service })
  const provider = new BasicTracerProvider({ resource, spanProcessors: [processor] })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  propagation.setGlobalPropagator(new W3CTraceContextPropagator())
  trace.setGlobalTracerProvider(provider)
  return { processor, resource, close: () => provider.shutdown() }
}
