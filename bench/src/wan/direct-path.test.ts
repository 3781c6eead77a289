import { modelId, ringId, workerId } from '@deos/domain'
import { defaultClientOptions, defaultLeaderOptions, defaultWireLimits, plainNeeds } from '@deos/protocol'
import {
  defaultHostTiming,
  linkIdentity,
  parseHttpProxy,
  RingConnection,
  RingHost,
  systemTimers,
  TcpTransport,
} from '@deos/transport'
import { type PairTraffic, parseWanProfile, WanEmulator } from '@deos/wan'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { InstantStageEngine } from '../control-plane/instant-stage-engine.ts'
import { greedy } from '../ring/workload.ts'

const STAGES = 4
const GATEWAY = STAGES
const HIDDEN = 64
const PROMPT = 400
const TOKENS = 300
const names = [...Array.from({ length: STAGES }, (_, stage) => `stage-${stage}`), 'gateway']

const profile = parseWanProfile(
  {
    ...{ name: 'ring', title: 'A ring and a gateway', source: 'A test.', licence: 'CC0-1.0' },
    sites: names.map((name) => ({ name })),
    ...{ inside: { oneWayMs: 0 }, otherwise: { oneWayMs: 0.2 }, links: [] },
  },
  'the test',
)

const secret = new Uint8Array(32).fill(3)
const ring = ringId('r')
const edge = { timers: systemTimers, random: { next: Math.random }, onNote: () => undefined }
const toStop: (() => unknown)[] = []
let network: WanEmulator
let connection: RingConnection

const transportAt = (role: 'worker' | 'gateway', site: number): TcpTransport =>
  new TcpTransport({
    identity: linkIdentity(role, names[site]!, ring),
    secret,
    proxy: parseHttpProxy(network.sites[site]!.proxy),
  })

async function startStage(stage: number): Promise<{ readonly host: RingHost; readonly address: string }> {
  const layers = { first: stage, end: stage + 1 }
  const worker = workerId(names[stage]!)
  const host = new RingHost(
    {
      identity: { worker, model: modelId('m'), stage, stages: STAGES, layers, hiddenSize: HIDDEN },
      leader:
        stage > 0
          ? null
          : { ...defaultLeaderOptions, stages: STAGES, microbatches: STAGES, vocabSize: null, firstEpoch: 1 },
      listen: `${network.sites[stage]!.host}:0`,
      previousPeer: names[(stage + STAGES - 1) % STAGES]!,
      ...defaultHostTiming,
    },
    { ...edge, transport: transportAt('worker', stage) },
  )
  toStop.push(() => host.stop())
  const address = await host.start()
  const capacity = { kvPages: 256, pageTokens: 16, contextLength: 2048, maxBatchTokens: 512 }
  host.attachEngine(
    new InstantStageEngine({ isLast: stage === STAGES - 1, hiddenSize: HIDDEN, token: 5, capacity }),
  )
  return { host, address }
}

beforeAll(async () => {
  network = await WanEmulator.start({ profile, seed: 1 })
  toStop.push(() => network.stop())
  const stages = await Promise.all(Array.from({ length: STAGES }, (_, stage) => startStage(stage)))
  for (const [stage, { host }] of stages.entries()) host.connectNext(stages[(stage + 1) % STAGES]!.address)
  const transport = transportAt('gateway', GATEWAY)
  toStop.push(() => transport.stop())
  await new Promise<void>((resolve) => {
    connection = new RingConnection(
      {
        ...{ ...defaultClientOptions, ...defaultHostTiming, wire: defaultWireLimits },
        ...{ leader: stages[0]!.address, tail: stages[STAGES - 1]!.address },
      },
      { ...edge, transport, onStatus: (ready) => ready && resolve() },
    )
    connection.start()
  })
  toStop.push(() => connection.stop())
})

afterAll(async () => {
  for (const stop of toStop.reverse()) await stop()
})

/** Bytes that went from one site to another while something was done. */
async function trafficOf(work: () => Promise<void>): Promise<(from: number, to: number) => number> {
  const before = network.traffic
  await work()
  const after = network.traffic
  const bytes = (traffic: readonly PairTraffic[], from: number, to: number) =>
    traffic.find((pair) => pair.from === names[from] && pair.to === names[to])?.bytes ?? 0
  return (from, to) => bytes(after, from, to) - bytes(before, from, to)
}

function generate(): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (code: string, message: string) => reject(new Error(`${code}: ${message}`))
    connection.generate(
      {
        ...{ id: 'one', tokens: new Int32Array(PROMPT).fill(1), maxTokens: TOKENS, stopTokens: [] },
        ...{ sampling: greedy, deadlineMs: 0, tenant: 't', priority: 0, needs: plainNeeds, pooling: null },
      },
      { onToken: ({ finish }) => finish !== null && resolve(), onRejected: fail, onFailed: fail },
    )
  })
}

test('stages talk to their successors, the last to the first, and a step carries only what is new', async () => {
  const bytes = await trafficOf(generate)
  for (let from = 0; from < STAGES; from++) {
    for (let to = 0; to < STAGES; to++) {
      // Sites that are no neighbours have no connection; on those of neighbours the way back says next to nothing.
      if ((from + 1) % STAGES !== to) expect(bytes(from, to), `${from} to ${to}`).toBeLessThan(1000)
    }
  }
  // The gateway sends the prompt once and hears each token once; no hidden states pass it.
  expect(bytes(GATEWAY, 0)).toBeLessThan(PROMPT * 4 + 3000)
  expect(bytes(STAGES - 1, GATEWAY)).toBeLessThan(TOKENS * 150)
  for (const middle of [1, 2]) expect(bytes(middle, GATEWAY) + bytes(GATEWAY, middle)).toBe(0)
  // Between stages: hidden states of the prompt and of each token, and a few words about each step.
  const hidden = (PROMPT + TOKENS) * HIDDEN * 4
  for (let stage = 0; stage < STAGES - 1; stage++) {
    expect(bytes(stage, stage + 1)).toBeGreaterThan(hidden)
    expect(bytes(stage, stage + 1)).toBeLessThan(hidden + PROMPT * 4 + TOKENS * 150 + 5000)
  }
  expect(bytes(STAGES - 1, 0)).toBeGreaterThan(TOKENS * 4)
  expect(bytes(STAGES - 1, 0)).toBeLessThan(TOKENS * 150 + 5000)
})
