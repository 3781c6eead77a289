import type { Attributes, Context, Span, SpanContext, Tracer } from '@opentelemetry/api'

/** A stretch of work that is over. Times are milliseconds since 1970. */
export interface EndedSpan {
  readonly name: string
  readonly kind: 'server' | 'internal'
  readonly startMs: number
  readonly endMs: number
  readonly attributes: Readonly<Record<string, string | number | boolean>>
  /** What went wrong; `null` if nothing did. */
  readonly error: string | null
  readonly children: readonly Omit<EndedSpan, 'children' | 'kind' | 'error'>[]
}

/** Work that has begun, and that others may work for. */
export interface OpenSpan {
  /** W3C trace context for them. */
  readonly traceparent: string
  /** Kind and beginning stay what they were. Never ended, it is never sent. */
  end(span: Omit<EndedSpan, 'kind' | 'startMs'>): void
}

/** Hands spans to a collector, in batches and in the background. */
export interface Tracing {
  /** @param traceparent - W3C trace context of whoever asked; `null`, or anything else, begins a new trace */
  begin(span: Pick<EndedSpan, 'name' | 'kind' | 'startMs'>, traceparent: string | null): OpenSpan
  /** Work that was not known to have begun. */
  /** @param traceparent - W3C trace context of whoever asked; `null`, or anything else, begins a new trace */
  record(span: EndedSpan, traceparent: string | null): void
  /** Sends what is left. */
  stop(): Promise<void>
}

export interface TracingSettings {
  /** `service.name` unless `OTEL_SERVICE_NAME` says otherwise. */
  readonly service: string
  readonly env: Readonly<Record<string, string | undefined>>
}

const traceparentPattern = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})/

/** Trace, span and flags of a W3C `traceparent`; `null` if it is not one. */
export function parseTraceparent(
  text: string | null,
): { readonly traceId: string; readonly spanId: string; readonly traceFlags: number } | null {
  const match = text === null ? null : traceparentPattern.exec(text)
  if (!match) return null
  return { traceId: match[1]!, spanId: match[2]!, traceFlags: Number.parseInt(match[3]!, 16) }
}

/**
 * Traces if `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set; the libraries for it are loaded
 * only then. The other variables of OpenTelemetry's exporters and samplers count, too.
 *
 * @returns `null` if tracing is off
 */
export async function startTracing({ service, env }: TracingSettings): Promise<Tracing | null> {
  const disabled = env.OTEL_SDK_DISABLED?.toLowerCase() === 'true'
  const endpoint = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || env.OTEL_EXPORTER_OTLP_ENDPOINT
  if (disabled || !endpoint) return null
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ])
  const url =
    env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ||
    `${env.OTEL_EXPORTER_OTLP_ENDPOINT!.replace(/\/+$/, '')}/v1/traces`
  const provider = new sdk.NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': env.OTEL_SERVICE_NAME || service }),
    spanProcessors: [new sdk.BatchSpanProcessor(new OTLPTraceExporter({ url }))],
  })
  const tracer = provider.getTracer(service)
  const contextOf = (traceparent: string | null): Context => {
    const parent = parseTraceparent(traceparent)
    return parent === null
      ? api.ROOT_CONTEXT
      : api.trace.setSpanContext(api.ROOT_CONTEXT, { ...parent, isRemote: true })
  }
  const start = (
    { name, kind, startMs }: Pick<EndedSpan, 'name' | 'kind' | 'startMs'>,
    traceparent: string | null,
  ): OpenSpan => {
    const kinds = { server: api.SpanKind.SERVER, internal: api.SpanKind.INTERNAL }
    const span = begin(tracer, { name, startMs, attributes: {} }, kinds[kind], contextOf(traceparent))
    return {
      traceparent: formatTraceparent(span.spanContext()),
      end(ended) {
        const within = api.trace.setSpan(api.ROOT_CONTEXT, span)
        for (const child of ended.children) {
          begin(tracer, child, api.SpanKind.INTERNAL, within).end(new Date(child.endMs))
        }
        span.updateName(ended.name).setAttributes(ended.attributes)
        if (ended.error !== null) span.setStatus({ code: api.SpanStatusCode.ERROR, message: ended.error })
        span.end(new Date(ended.endMs))
      },
    }
  }
  return {
    begin: start,
    record: (ended, traceparent) => start(ended, traceparent).end(ended),
    stop: () => provider.shutdown(),
  }
}

const formatTraceparent = ({ traceId, spanId, traceFlags }: SpanContext): string =>
  `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`

function begin(
  tracer: Tracer,
  { name, startMs, attributes }: Pick<EndedSpan, 'name' | 'startMs' | 'attributes'>,
  kind: number,
  parent: Context,
): Span {
  const startTime = new Date(startMs)
  return tracer.startSpan(name, { kind, startTime, attributes: attributes as Attributes }, parent)
}
