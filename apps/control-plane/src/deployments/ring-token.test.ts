import { type LayerRange, modelId, ringId, seededRandom, workerId } from '@deos/domain'
import { defaultLeaderOptions } from '@deos/protocol'
import { FakeStageEngine } from '@deos/protocol/testing'
import { defaultHostTiming, linkIdentity, RingHost, systemTimers, TcpTransport } from '@deos/transport'
import { afterEach, describe, expect, test } from 'vitest'
import { NoTokenError, type RingTarget, ringToken } from './ring-token.ts'

const model = { layers: 4, hiddenSize: 2, vocabSize: 61 }
const ring = ringId('replica-1.1')
const secret = '5e'.repeat(32)
const capacity = { kvPages: 64, pageTokens: 8, contextLength: 64, maxBatchTokens: 16 }
const stops: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

/** Workers as they ship over real sockets, with engines that only pretend. */
async function startRing(stages: number, engines = stages): Promise<RingTarget> {
  const hosts = await Promise.all(Array.from({ length: stages }, (_, stage) => startHost(stage, stages)))
  for (const [stage, { host, layers }] of hosts.entries()) {
    if (stages > 1) host.connectNext(hosts[(stage + 1) % stages]!.address)
    if (stage < engines) host.attachEngine(new FakeStageEngine({ model, layers, capacity }))
  }
  const { address: leader } = hosts[0]!
  const tail = stages === 1 ? null : hosts.at(-1)!.address
  return { ring, secret, leader, tail, vocabulary: model.vocabSize }
}

async function startHost(stage: number, stages: number) {
  const worker = `w${stage}`
  const each = model.layers / stages
  const layers: LayerRange = { first: stage * each, end: (stage + 1) * each }
  const transport = new TcpTransport({
    identity: linkIdentity('worker', worker, ring),
    secret: Buffer.from(secret, 'hex'),
  })
  const leader = {
    ...defaultLeaderOptions,
    stages,
    microbatches: stages,
    vocabSize: model.vocabSize,
    firstEpoch: 1,
    probeIntervalMs: 50,
  }
  const identity = { worker: workerId(worker), model: modelId('m'), stage, stages, layers, hiddenSize: 2 }
  const host = new RingHost(
    {
      ...defaultHostTiming,
      identity,
      leader: stage === 0 ? leader : null,
      listen: '127.0.0.1:0',
      previousPeer: `w${(stage + stages - 1) % stages}`,
    },
    { transport, timers: systemTimers, random: seededRandom(stage), onNote: () => undefined },
  )
  const address = await host.start()
  stops.push(async () => {
    await host.stop()
    await transport.stop()
  })
  return { host, layers, address }
}

let last = 0
const ids = {
  next: (prefix: string) => {
    last += 1
    return `${prefix}-${last}`
  },
}
const generate = ringToken({ timers: systemTimers, random: seededRandom(9), ids })
const never = new AbortController().signal

describe('a token of a ring', () => {
  test.each([1, 2])('comes through all of %i stages, and again', async (stages) => {
    const target = await startRing(stages)
    expect(await generate(target, 20_000, never)).toBeGreaterThan(0)
    expect(await generate(target, 20_000, never)).toBeGreaterThan(0)
  })

  test('does not come while an engine is missing', async () => {
    const target = await startRing(2, 1)
    const error = await generate(target, 1_000, never).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(NoTokenError)
    expect((error as Error).message).toContain('Nothing came in 1 s')
  })

  test('does not come for whoever lacks the secret', async () => {
    const target = await startRing(1)
    const wrong = { ...target, secret: '6f'.repeat(32) }
    await expect(generate(wrong, 1_000, never)).rejects.toThrow('Nothing came in 1 s')
  })

  test('is not waited for when the control plane stops', async () => {
    const stop = new AbortController()
    const waiting = generate({ ...(await startRing(2, 0)) }, 60_000, stop.signal)
    stop.abort()
    await expect(waiting).rejects.toThrow('stopped')
  })
})
