import { defaultSampling } from '@deos/domain'
import { fakeGeneration } from '@deos/protocol/testing'
import { describe, expect, test } from 'vitest'
import { bytesOf, END, textOf } from '../testing/byte-model.ts'
import { FakeRing, fakeModel } from '../testing/fake-ring.ts'
import { InstantRings, sayTo } from '../testing/instant-ring.ts'
import { targetOf } from '../testing/scripted-control-plane.ts'
import { until } from '../testing/start-gateway.ts'
import { startRoutedGateway } from '../testing/start-routed-gateway.ts'

const maxTokens = 60
const key = 'deos_k_a'

/** What the fake model says to a prompt when nothing ever fails. */
function expectedText(prompt: string, sampling: { temperature: number; seed: number }): string {
  const asked = { ...defaultSampling, temperature: sampling.temperature, seed: String(sampling.seed) }
  return textOf(fakeGeneration(fakeModel, bytesOf(prompt), asked, maxTokens, [END]))
}

async function startOverFakeRings(count: number, options = {}) {
  const rings = Array.from({ length: count }, (_, index) => ({ name: `ring-${index}`, ring: new FakeRing() }))
  for (const { ring } of rings) await ring.start()
  const started = await startRoutedGateway({
    openRing: ({ ring }, told) => rings.find(({ name }) => name === ring)!.ring.session(told),
    prepare: (control) => {
      control.grant(key)
      control.route(targetOf({ rings: rings.map(({ name }) => name) }))
    },
    options,
  })
  const replicas = () => started.serving.state().details.replicas as { ready: number; listed: number }
  await until(() => replicas().ready === count)
  const ask = async (prompt: string, { temperature = 0, seed = 1 } = {}) => {
    const response = await started.post('/v1/completions', key, {
      model: 'bytes',
      prompt: bytesOf(prompt),
      temperature,
      seed,
      max_tokens: maxTokens,
      stream: true,
    })
    expect(response.status).toBe(200)
    return async () => {
      const text = await response.text()
      expect(text).toMatch(/data: \[DONE\]/)
      const events = text.split('\n\n').filter((event) => event.startsWith('data: {'))
      return events.map((event) => JSON.parse(event.slice(6)).choices[0].text as string).join('')
    }
  }
  return { ...started, rings, ask, replicas }
}

describe('an answer whose replica is gone', () => {
  test.each([0, 1])('continues on another with the same text, at temperature %i', async (temperature) => {
    const { ask, rings, control } = await startOverFakeRings(2)
    const prompts = Array.from({ length: 8 }, (_, seed) => ({ prompt: `question ${seed}`, seed }))
    const begun = prompts.map(({ prompt, seed }) => ask(prompt, { temperature, seed }))
    const readers = await Promise.all(begun)
    await rings[0]!.ring.die()
    for (const [index, { prompt, seed }] of prompts.entries()) {
      expect(await readers[index]!()).toBe(expectedText(prompt, { temperature, seed }))
    }
    await until(() => control.recorded.length === prompts.length)
    expect(control.recorded.every(({ status }) => status === 200)).toBe(true)
    const interrupted = control.recorded.filter(({ interruptions }) => interruptions > 0)
    expect(interrupted.length).toBeGreaterThan(0)
    for (const { timeline, replicaId } of interrupted) {
      expect(timeline.some(({ phase }) => phase === 'interruption')).toBe(true)
      expect(replicaId).toBe('replica-ring-1')
    }
  })

  test('waits for the replica that takes its place', async () => {
    const { ask, rings, control } = await startOverFakeRings(1)
    const reader = await ask('hold on')
    await rings[0]!.ring.die()
    const healed = new FakeRing()
    await healed.start()
    rings.push({ name: 'ring-healed', ring: healed })
    control.route(targetOf({ rings: ['ring-healed'] }))
    expect(await reader()).toBe(expectedText('hold on', { temperature: 0, seed: 1 }))
  })
})

async function startOverInstantRings(names: readonly string[], options = {}) {
  const rings = new InstantRings()
  const started = await startRoutedGateway({
    openRing: rings.open,
    prepare: (control) => {
      control.grant(key)
      control.route(targetOf({ rings: [...names] }))
    },
    options,
  })
  const ask = () =>
    started.post('/v1/completions', key, { model: 'bytes', prompt: 'hi', max_tokens: 20, stream: true })
  return { ...started, rings, ask }
}

describe('a replica that is no longer listed', () => {
  test('gets nothing new, finishes what it has, and is let go of then', async () => {
    const { ask, rings, control } = await startOverInstantRings(['old'])
    const old = rings.get('old')
    rings.onRequest = (request, handlers) => sayTo(request, handlers, 'hello', { end: 2 })
    const first = await ask()
    control.route(targetOf({ rings: ['new'] }))
    await until(() => rings.rings.has('new'))
    rings.onRequest = (request, handlers) => sayTo(request, handlers, 'hello')
    expect(await (await ask()).text()).toMatch('[DONE]')
    expect(rings.get('new').opened).toHaveLength(1)
    expect([old.opened.length, old.stopped]).toEqual([1, false])
    await until(() => (control.reports.at(-1)?.replicas.length ?? 0) === 2)
    expect(control.reports.at(-1)!.replicas.map(({ open }) => open)).toEqual([1, 0])

    const [request] = old.opened
    sayTo(request!, old.handlers.get(request!.id)!, 'hello', { first: 2 })
    expect(await first.text()).toMatch('[DONE]')
    await until(() => old.stopped)
    await until(() => control.reports.at(-1)!.replicas.length === 1)
    expect(control.reports.at(-1)!.routingVersion).toBe(control.version)
  })
})

describe('without a ready replica', () => {
  test('a request waits, and is answered when one is', async () => {
    const rings = ['slow']
    const { ask, rings: opened } = await startOverInstantRings(rings)
    opened.get('slow').setReady(false)
    const waiting = ask()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(opened.get('slow').opened).toEqual([])
    opened.get('slow').setReady(true)
    expect(await (await waiting).text()).toMatch('[DONE]')
  })

  test('patience ends with what the matter is', async () => {
    const { ask, rings, control } = await startOverInstantRings(['slow'], { waitPatienceMs: 30 })
    rings.get('slow').setReady(false)
    const refused = await ask()
    expect(refused.status).toBe(503)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await refused.text()).toMatch('of 1 replica, 1 not connected (waited 0.03 s)')
    control.route(targetOf({ rings: [] }))
    await until(() => rings.get('slow').stopped)
    expect(await (await ask()).text()).toMatch('no replica of it is running')
  })

  test('a full replica sends to another, and all of them full is a refusal', async () => {
    const { ask, rings } = await startOverInstantRings(['a', 'b'])
    const refuse = new Set(['a'])
    rings.onRequest = (request, handlers, ring) => {
      if (refuse.has(ring.name)) handlers.onRejected('queue_full', 'As played.', 1000)
      else sayTo(request, handlers, 'hello')
    }
    for (let request = 0; request < 3; request += 1) expect(await (await ask()).text()).toMatch('[DONE]')
    expect(rings.get('b').opened).toHaveLength(3)
    refuse.add('b')
    expect((await ask()).status).toBe(429)
  })
})

test('what breaks every ring it runs on is given up', async () => {
  const { ask, rings, control } = await startOverInstantRings(['a', 'b'], { maxInterruptions: 3 })
  rings.onRequest = (_request, handlers) => {
    for (let fault = 0; fault < 2; fault += 1) handlers.onInterrupted?.('As played.')
    setTimeout(() => handlers.onFailed('unavailable', 'As played.'))
  }
  const response = await ask()
  expect(response.status).toBe(503)
  expect(await response.text()).toMatch('rings failed 4 times')
  await until(() => control.recorded.length === 1)
  expect(rings.get('a').opened.length + rings.get('b').opened.length).toBe(2)
})
