import type { AnsweredRequest } from '@deos/api'
import { expect, test } from 'vitest'
import { InstantRings, sayTo } from '../testing/instant-ring.ts'
import { targetOf } from '../testing/scripted-control-plane.ts'
import { until } from '../testing/start-gateway.ts'
import { startRoutedGateway } from '../testing/start-routed-gateway.ts'

const key = 'deos_k_a'
type Roles = Readonly<Record<string, 'prefill' | 'decode'>>

/** Rings that cannot hand over: who is asked, and what is recorded. */
async function startWith(roles: Roles | undefined, { unready = [] as readonly string[] } = {}) {
  const rings = new InstantRings()
  for (const name of unready) rings.unready.add(name)
  const names = Object.keys(roles ?? { alone: 'both' })
  const started = await startRoutedGateway({
    openRing: rings.open,
    prepare: (control) => {
      control.grant(key)
      control.route(targetOf({ rings: names, ...(roles !== undefined && { roles }) }))
    },
  })
  const listed = () => (started.serving.state().details.replicas as { listed: number }).listed
  await until(() => listed() === names.length && names.every((name) => rings.rings.has(name)))
  const ask = async (): Promise<AnsweredRequest> => {
    const { recorded } = started.control
    const before = recorded.length
    const body = { model: 'bytes', prompt: 'hi', max_tokens: 20 }
    const response = await started.post('/v1/completions', key, body)
    expect(response.status).toBe(200)
    await until(() => recorded.length > before)
    return recorded[before]!
  }
  return { ...started, rings, ask }
}

const asked = (rings: InstantRings, name: string) => rings.get(name).opened.length

test('requests go to replicas that answer, and their records say why others did not help', async () => {
  const { rings, ask, serving, get } = await startWith({ first: 'prefill', second: 'decode' })
  for (const _ of [1, 2, 3]) {
    const { replicaId, split } = await ask()
    expect(replicaId).toBe('replica-second')
    expect(split).toEqual({
      ...{ used: false, reason: 'Not all stages can be reached from here.' },
      ...{ prefillReplicaId: null, tokens: 0, bytes: 0, levels: [], refusals: 0, enhancement: null },
    })
  }
  expect([asked(rings, 'first'), asked(rings, 'second')]).toEqual([0, 3])
  expect(serving.state().details.split).toEqual({
    used: 0,
    unused: 3,
    tokens: 0,
    bytes: 0,
    lossy: 0,
    refused: 0,
  })
  const metrics = await (await get('/metrics', key)).text()
  expect(metrics).toMatch(/split_requests_total\{used="no"\} 3/)
})

test('while nobody answers, whoever computes prompts does', async () => {
  const { rings, ask } = await startWith({ first: 'prefill', second: 'decode' }, { unready: ['second'] })
  expect(await ask()).toMatchObject({
    replicaId: 'replica-first',
    split: { used: false, prefillReplicaId: 'replica-first', reason: expect.stringContaining('No replica') },
  })
  rings.get('second').setReady(true)
  expect(await ask()).toMatchObject({ replicaId: 'replica-second' })
})

test('an answer goes on at the replica for prompts when the only other one is lost', async () => {
  const { rings, ask } = await startWith({ first: 'prefill', second: 'decode' })
  rings.onRequest = (request, handlers, ring) => {
    if (ring.name !== 'second') return sayTo(request, handlers, 'hello')
    sayTo(request, handlers, 'hello', { end: 2 })
    // Behind the tokens.
    setTimeout(() => {
      ring.setReady(false)
      handlers.onInterrupted?.('crashed as played')
    }, 20)
  }
  expect(await ask()).toMatchObject({ status: 200, interruptions: 1, completionTokens: 6 })
  expect([asked(rings, 'first'), asked(rings, 'second')]).toEqual([1, 1])
})

test('where nobody else computes prompts, records say nothing of it', async () => {
  const { ask } = await startWith(undefined)
  expect((await ask()).split).toBeNull()
})
