import { expect, onTestFinished, test } from 'vitest'
import { SpanCollector } from './testing/index.ts'
import { type EndedSpan, parseTraceparent, startTracing } from './tracing.ts'

async function startCollector(): Promise<SpanCollector> {
  const collector = await SpanCollector.start()
  onTestFinished(() => collector.stop())
  return collector
}

const ended: EndedSpan = {
  name: 'chat bytes',
  kind: 'server',
  startMs: 1_700_000_000_000,
  endMs: 1_700_000_000_500,
  attributes: { 'gen_ai.request.model': 'bytes', 'gen_ai.usage.input_tokens': 8 },
  error: 'status 503',
  children: [{ name: 'decode', startMs: 1_700_000_000_100, endMs: 1_700_000_000_400, attributes: {} }],
}

test('spans reach a collector as parts of the trace that asked', async () => {
  const collector = await startCollector()
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/` }
  const tracing = await startTracing({ service: 'gateway', env })
  const trace = '0af7651916cd43dd8448eb211c80319c'
  tracing!.record(ended, `00-${trace}-b7ad6b7169203331-01`)
  tracing!.record({ ...ended, name: 'alone', error: null, children: [] }, 'nonsense')
  await tracing!.stop()
  expect(collector.received[0]!.path).toBe('/v1/traces')
  const [parent, child, alone] = ['chat bytes', 'decode', 'alone'].map((name) =>
    collector.spans.find((span) => span.name === name),
  )
  expect(parent).toMatchObject({
    traceId: trace,
    parentSpanId: 'b7ad6b7169203331',
    startTimeUnixNano: '1700000000000000000',
    status: { code: 2 },
  })
  expect(parent!.attributes).toContainEqual({ key: 'gen_ai.request.model', value: { stringValue: 'bytes' } })
  expect(child).toMatchObject({ traceId: trace, parentSpanId: parent!.spanId })
  expect(alone!.traceId).not.toBe(trace)
})

test('others work for a span before it ends, and it tells then what became of it', async () => {
  const collector = await startCollector()
  const tracing = await startTracing({
    service: 'gateway',
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url },
  })
  const open = tracing!.begin({ name: 'request', kind: 'server', startMs: 1_700_000_000_000 }, null)
  tracing!.record({ ...ended, name: 'stage 0', children: [] }, open.traceparent)
  open.end({ ...ended, error: null })
  tracing!.begin({ name: 'never ended', kind: 'server', startMs: 1 }, null)
  await tracing!.stop()
  const named = (name: string) => collector.spans.find((span) => span.name === name)!
  expect(named('stage 0')).toMatchObject({
    traceId: named('chat bytes').traceId,
    parentSpanId: named('chat bytes').spanId,
  })
  expect(named('chat bytes')).toMatchObject({ startTimeUnixNano: '1700000000000000000', status: { code: 0 } })
  expect(collector.spans.map(({ name }) => name).sort()).toEqual(['chat bytes', 'decode', 'stage 0'])
})

test('is off unless a collector is named', async () => {
  expect(await startTracing({ service: 'gateway', env: {} })).toBeNull()
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_SDK_DISABLED: 'true' }
  expect(await startTracing({ service: 'gateway', env })).toBeNull()
})

test.each([
  null,
  '',
  '00-0-0-00',
  `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
  `ff-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
])('%j is no trace context', (text) => expect(parseTraceparent(text)).toBeNull())
