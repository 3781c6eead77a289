import type { EndedSpan as Ended, Tracing } from '@deos/service'
import { expect, test } from 'vitest'
import { InstantRings } from '../testing/instant-ring.ts'
import { targetOf } from '../testing/scripted-control-plane.ts'
import { until } from '../testing/start-gateway.ts'
import { startRoutedGateway } from '../testing/start-routed-gateway.ts'

test('a request is one span with its phases below, in the trace of whoever asked', async () => {
  const recorded: { readonly span: Ended; readonly traceparent: string | null }[] = []
  const own = `00-${'a'.repeat(32)}-${'c'.repeat(16)}-01`
  const tracing: Tracing = {
    begin: ({ startMs, kind }, traceparent) => ({
      traceparent: own,
      end: (span) => recorded.push({ span: { ...span, startMs, kind }, traceparent }),
    }),
    record: () => expect.unreachable('Requests begin before they end.'),
    stop: async () => undefined,
  }
  const rings = new InstantRings()
  const { post } = await startRoutedGateway({
    openRing: rings.open,
    tracing,
    prepare: (control) => {
      control.grant('deos_k_a')
      control.route(targetOf())
    },
  })
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
  const messages = [{ role: 'user', content: 'something private' }]
  const body = { model: 'bytes', messages, max_tokens: 20 }
  const response = await post('/v1/chat/completions', 'deos_k_a', body, { traceparent })
  await until(() => recorded.length === 1)
  const [{ span, traceparent: parent }] = recorded as [(typeof recorded)[number]]
  expect(parent).toBe(traceparent)
  const asked = [...rings.rings.values()].flatMap(({ opened }) => opened)
  expect(asked.map(({ trace }) => trace)).toEqual([own])
  expect(span).toMatchObject({
    name: 'chat bytes',
    kind: 'server',
    error: null,
    attributes: {
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'bytes',
      'gen_ai.usage.output_tokens': 6,
      'deos.request.id': response.headers.get('x-request-id'),
      'deos.engine_ms': 3,
    },
  })
  expect(span.children.map(({ name }) => name)).toEqual(['queue', 'prefill', 'decode'])
  for (const child of span.children) {
    // Records tell their beginning in whole milliseconds.
    expect(child.startMs).toBeGreaterThan(span.startMs - 1.001)
    expect(child.endMs).toBeLessThanOrEqual(span.endMs + 1.001)
  }
  expect(JSON.stringify(span)).not.toMatch(/private|deos_k_a/)
})
