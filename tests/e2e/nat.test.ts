import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { defaultSampling, ringId } from '@deos/domain'
import { defaultClientOptions, defaultWireLimits, plainNeeds } from '@deos/protocol'
import {
  defaultHostTiming,
  formatPeerAddress,
  linkIdentity,
  machineKey,
  newCircuitName,
  PeerNode,
  parsePeerAddress,
  passingKey,
  Relay,
  RingConnection,
  systemTimers,
} from '@deos/transport'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type NatLaboratory, natLaboratory, whyNoLaboratory } from './nat-laboratory.ts'

const obstacle = whyNoLaboratory()
const worker = fileURLToPath(new URL('../../dist/worker.mjs', import.meta.url))
const model = fileURLToPath(new URL('../../models/deos-1m', import.meta.url))
const ring = ringId('nat')
const secret = randomBytes(32)
const cuts = [
  { first: 0, end: 1 },
  { first: 1, end: 2 },
]

interface Stage {
  readonly child: ChildProcess
  readonly address: string
  readonly events: Record<string, unknown>[]
}

let lab: NatLaboratory
let folder: string
let relay: Relay
let relayAddress: string
const stages: Stage[] = []

async function startStage(space: string, stage: number, layers: object): Promise<Stage> {
  const { privateKey } = generateKeyPairSync('ed25519')
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const keyFile = join(folder, `key-${stage}.pem`)
  await writeFile(keyFile, pem)
  const circuit = newCircuitName()
  const assignment = {
    ...{ worker: `w${stage}`, ring, stage, stages: cuts.length, layers, listen: '0.0.0.0:0' },
    ...{ model: { id: 'tiny', path: model }, weightType: 'native', kvType: 'F16', kvBytes: 32 * 2 ** 20 },
    ...{ contextLength: 256, maxBatchTokens: 128, threads: 1, device: null, cacheDir: join(folder, 'cache') },
    ...{ speed: 1, microbatches: 2, maxSessions: 4, maxQueued: 4, prefixCache: true, adapters: [] },
    ...{ prefillChunkTokens: 'auto', machineKey: keyFile },
    relay: formatPeerAddress({ ...parsePeerAddress(relayAddress), circuit }),
  }
  const child = spawn('ip', ['netns', 'exec', space, process.execPath, worker], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      ...process.env,
      DEOS_ASSIGNMENT: JSON.stringify(assignment),
      DEOS_RING_SECRET: secret.toString('hex'),
    },
  })
  const events: Record<string, unknown>[] = []
  createInterface({ input: child.stdout! }).on('line', (line) => events.push(JSON.parse(line)))
  const { at } = parsePeerAddress(relayAddress)
  const address = formatPeerAddress({ at, key: machineKey(pem).publicKey, circuit })
  return { child, address, events }
}

const told = (stage: Stage, event: string) => stage.events.findLast((each) => each.event === event)

function generate(connection: RingConnection, id: string): Promise<number[]> {
  const tokens: number[] = []
  return new Promise((resolve, reject) => {
    connection.generate(
      {
        ...{ id, tokens: Int32Array.of(1, 2, 3), maxTokens: 16, stopTokens: [], deadlineMs: 0 },
        ...{ sampling: { ...defaultSampling, temperature: 0 }, tenant: 'nat', priority: 0 },
        ...{ needs: plainNeeds, pooling: null },
      },
      {
        onToken: ({ sampled, finish }) => {
          tokens.push(sampled.token)
          if (finish !== null) resolve(tokens)
        },
        onRejected: (code, message) => reject(new Error(`${code}: ${message}`)),
        onFailed: (code, message) => reject(new Error(`${code}: ${message}`)),
      },
    )
  })
}

const title =
  obstacle === null ? 'two machines behind NATs' : `two machines behind NATs (skipped: ${obstacle})`

describe.skipIf(obstacle !== null)(title, () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deos-nat-'))
    lab = natLaboratory()
    relay = new Relay({ key: passingKey(), host: lab.host, port: 0, isMember: () => true })
    relayAddress = await relay.start()
    for (const [stage, layers] of cuts.entries())
      stages.push(await startStage(stage === 0 ? lab.left : lab.right, stage, layers))
    for (const each of stages)
      await vi.waitFor(() => expect(told(each, 'ready')).toBeDefined(), { timeout: 30_000, interval: 50 })
    for (const [stage, { child }] of stages.entries())
      child.stdin!.write(`${JSON.stringify({ downstream: stages[(stage + 1) % cuts.length]!.address })}\n`)
  })

  afterAll(async () => {
    for (const { child } of stages) child.kill('SIGKILL')
    await relay?.stop()
    lab?.close()
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  })

  test('with only a relay in common answer requests, and find the direct way', async () => {
    const node = new PeerNode({ key: passingKey() })
    const transport = node.transport({ identity: linkIdentity('gateway', 'gateway', ring), secret })
    const notes: string[] = []
    const connection = await new Promise<RingConnection>((resolve) => {
      const made = new RingConnection(
        {
          ...{ ...defaultClientOptions, ...defaultHostTiming, wire: defaultWireLimits },
          ...{ leader: stages[0]!.address, tail: stages[1]!.address },
        },
        {
          ...{ transport, timers: systemTimers, random: { next: Math.random } },
          onNote: (_, text) => notes.push(text),
          onStatus: (ready) => ready && resolve(made),
        },
      )
      made.start()
    })
    try {
      const first = await generate(connection, 'first')
      expect(first).toHaveLength(16)
      await vi.waitFor(
        () => {
          expect(stages.map((stage) => told(stage, 'load')?.nextPath)).toEqual(['punched', 'punched'])
          expect(node.connections.map(({ path }) => path)).toEqual(['punched', 'punched'])
        },
        { timeout: 15_000, interval: 100 },
      )
      await vi.waitFor(() => expect(relay.counts.circuits).toBe(0), { timeout: 5_000 })
      const passed = relay.passedBytes
      expect(await generate(connection, 'second')).toEqual(first)
      expect(relay.passedBytes, 'nothing of it went through the relay').toBe(passed)
      await vi.waitFor(() => expect(told(stages[0]!, 'load')?.nextRoundTripMs).toBeGreaterThan(0))
    } finally {
      connection.stop()
      await transport.stop()
    }
  })
})
