import { balanceLayers, defaultSampling, modelId, ringId, seededRandom, workerId } from '@deos/domain'
import { defaultLeaderOptions, defaultWireLimits, type EngineStep, plainNeeds } from '@deos/protocol'
import { FakeStageEngine } from '@deos/protocol/testing'
import { linkIdentity, MemoryNetwork, RingConnection, RingHost } from '@deos/transport'
import { VirtualTimers } from '@deos/transport/testing'
import { expect, test } from 'vitest'

const STAGES = 4
const STEP_MS = 10
const HOP_MS = 0.25
const TOKENS = 40
const model = { layers: STAGES, hiddenSize: 1, vocabSize: 1_000 }
const capacity = { kvPages: 512, pageTokens: 8, contextLength: 64, maxBatchTokens: 64 }
const reconnect = { firstDelayMs: 10, maxDelayMs: 100 }

/** Runs sessions of one prompt token each on equal stages; a step takes the same time whatever its size. */
async function serve(sessions: number): Promise<{ spanMs: number; batches: readonly number[] }> {
  const timers = new VirtualTimers()
  const network = new MemoryNetwork({ latencyMs: [HOP_MS, HOP_MS] }, timers, seededRandom(1))
  const shared = { timers, random: seededRandom(2), onNote: () => {} }
  const batches: number[] = []
  const compute = (stage: number) => (step: EngineStep) => {
    if (stage === 0) batches.push(step.entries.length)
    return new Promise<void>((resolve) => void timers.after(STEP_MS, resolve))
  }
  const ranges = balanceLayers(
    { layers: new Array<number>(model.layers).fill(1), head: 0 },
    new Array<number>(STAGES).fill(1),
  )
  for (const [stage, layers] of ranges.entries()) {
    const worker = workerId(`w${stage}`)
    const limits = { stages: STAGES, microbatches: STAGES, vocabSize: null, firstEpoch: 1 }
    const host = new RingHost(
      {
        identity: { worker, model: modelId('m'), stage, stages: STAGES, layers, hiddenSize: 1 },
        leader: stage === 0 ? { ...defaultLeaderOptions, ...limits } : null,
        listen: `s${stage}`,
        previousPeer: null,
        tickMs: 50,
        reconnect,
      },
      { ...shared, transport: network.transport(linkIdentity('worker', worker, ringId('r')), 's') },
    )
    await host.start()
    host.connectNext(`s${(stage + 1) % STAGES}`)
    host.attachEngine(new FakeStageEngine({ model, layers, capacity, compute: compute(stage) }))
  }
  const connection = new RingConnection(
    {
      leader: 's0',
      tail: `s${STAGES - 1}`,
      resumePatienceMs: 1_000,
      wire: defaultWireLimits,
      tickMs: 50,
      reconnect,
    },
    {
      ...shared,
      onStatus: () => {},
      transport: network.transport(linkIdentity('gateway', 'g', ringId('r')), 's'),
    },
  )
  connection.start()
  while (!connection.ready) await timers.advance(10_000)
  const startMs = timers.now()
  let done = 0
  for (let index = 0; index < sessions; index++) {
    const sampling = { ...defaultSampling, seed: String(index) }
    connection.generate(
      {
        id: `r${index}`,
        tokens: Int32Array.of(index),
        maxTokens: TOKENS,
        stopTokens: [],
        sampling,
        deadlineMs: 0,
        ...{ tenant: 't', priority: 0, needs: plainNeeds, pooling: null },
      },
      {
        onToken: ({ finish }) => {
          if (finish !== null) done += 1
        },
        onRejected: (code) => expect.fail(code),
        onFailed: (code) => expect.fail(code),
      },
    )
  }
  while (done < sessions) await timers.advance(60_000)
  return { spanMs: timers.now() - startMs, batches }
}

const traversalMs = STAGES * (STEP_MS + HOP_MS)

test.each([1, 3, 4])('%i sessions each advance one token per traversal of the ring', async (sessions) => {
  const { spanMs } = await serve(sessions)
  expect(spanMs).toBeLessThan(traversalMs * TOKENS * 1.05)
})

test('16 sessions keep four stages busy with batches of four', async () => {
  const { spanMs, batches } = await serve(16)
  expect(spanMs).toBeLessThan(traversalMs * TOKENS * 1.1)
  const settled = batches.slice(16, -16)
  expect(settled.filter((size) => size === 4).length / settled.length).toBeGreaterThan(0.95)
})

test('18 sessions, which no four batches hold evenly, still share out', async () => {
  const { spanMs, batches } = await serve(18)
  expect(spanMs).toBeLessThan(traversalMs * TOKENS * 1.15)
  expect(Math.max(...batches.slice(16))).toBeLessThanOrEqual(5)
})
