import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { type EndedSpan, parseTraceparent, startTracing } from './tracing.ts'

interface SentSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly startTimeUnixNano: string
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[]
  readonly status: { readonly code: number }
}

/** A collector that keeps what it is sent as JSON. */
async function startCollector() {
  const received: { readonly path: string; readonly body: string }[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      received.push({ path: request.url!, body: Buffer.concat(chunks).toString('utf8') })
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
  })
  const spans = (): SentSpan[] =>
    received.flatMap(({ body }) =>
      JSON.parse(body).resourceSpans.flatMap((resource: { scopeSpans: { spans: SentSpan[] }[] }) =>
        resource.scopeSpans.flatMap((scope) => scope.spans),
      ),
    )
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received, spans }
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
  const { url, received, spans } = await startCollector()
  const tracing = await startTracing({ service: 'gateway', env: { OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/` } })
  const trace = '0af7651916cd43dd8448eb211c80319c'
  tracing!.record(ended, `00-${trace}-b7ad6b7169203331-01`)
  tracing!.record({ ...ended, name: 'alone', error: null, children: [] }, 'nonsense')
  await tracing!.stop()
  expect(received[0]!.path).toBe('/v1/traces')
  const [parent, child, alone] = ['chat bytes', 'decode', 'alone'].map((name) =>
    spans().find((span) => span.name === name),
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
