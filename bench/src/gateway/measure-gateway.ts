import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Figure, measuredFigure, median, skippedFigure } from '../contract.ts'
import { ControlPlaneProcess } from '../control-plane/control-plane-process.ts'
import type { FleetPart, RunningStage } from '../control-plane/fleet-part.ts'
import { PartProcess } from '../control-plane/part-process.ts'
import { cpuTimeMs } from '../serve/process-tree.ts'
import { ServerProcess } from '../serve/server-process.ts'
import { type ChatTarget, chatLoad, nameOf, type Scenario, scenarios } from './chat-load.ts'
import { requestFigures, type ScenarioRounds, summarizeScenario } from './comparison.ts'
import { DirectRing } from './direct-ring.ts'
import type { FakeOpenAi } from './fake-openai.ts'
import { type Portkey, startPortkey, whyNoPortkey } from './portkey.ts'

export interface GatewayBenchOptions {
  readonly quick: boolean
  /** `dist`. */
  readonly builtFolder: string
  /** The bench's own file. */
  readonly benchEntry: string
  /** A folder of Hugging Face's layout, for tokenizer and template. */
  readonly modelPath: string
  /** Where the peer was installed. */
  readonly portkeyFolder: string
  readonly cacheFolder: string
  progress(line: string): void
}

const modelName = 'bench'
/** " the" in the vocabulary of the models that come along. */
const token = 267
const pace = { tickMs: 25, probeIntervalMs: 500, linkHeartbeatMs: 1_000 } as const
const readyLimitMs = 60_000
/** Limits that count every request and stop none. */
const highLimits = { requestsPerMinute: 10_000_000, tokensPerMinute: 10_000_000_000 } as const
const alone: Scenario = { connections: 1, stream: false, tokens: 1 }

interface Plan {
  readonly rounds: number
  readonly durationMs: number
  readonly warmUpMs: number
}

const planOf = (quick: boolean): Plan =>
  quick ? { rounds: 2, durationMs: 700, warmUpMs: 1_000 } : { rounds: 5, durationMs: 2_000, warmUpMs: 3_000 }

type Fleet = PartProcess<FleetPart['calls']>
type Upstream = PartProcess<FakeOpenAi['calls']>

/** Whose CPU time is told, by name. */
type Processes = Readonly<Record<string, () => readonly number[]>>

/** Measures our gateway behind a control plane, in front of a ring that takes no time, beside Portkey's. */
export async function measureGateway(options: GatewayBenchOptions) {
  mkdirSync(options.cacheFolder, { recursive: true })
  const stops: (() => Promise<void>)[] = []
  try {
    return await run(options, stops)
  } finally {
    for (const stop of stops.toReversed()) await stop()
  }
}

async function run(options: GatewayBenchOptions, stops: (() => Promise<void>)[]) {
  const { progress, portkeyFolder } = options
  const noPeer = whyNoPortkey(portkeyFolder)
  if (noPeer !== null) progress(`without a peer: ${noPeer}`)
  const deos = await startDeos(options, stops)
  const peer = noPeer === null ? await startPeer(options, stops) : null
  const bench = new Comparison(options, deos, peer, noPeer)
  await bench.warmUp()
  progress('servers are up')
  const overhead = await bench.overhead()
  const measured: ScenarioRounds[] = []
  for (const scenario of scenarios) measured.push(await bench.scenario(scenario))
  return {
    figures: [...overheadFigures(overhead, noPeer), ...requestFigures(measured)],
    raw: {
      overhead,
      scenarios: Object.fromEntries(
        measured.map((each) => [nameOf(each.scenario), summarizeScenario(each)] as const),
      ),
      rounds: Object.fromEntries(measured.map(({ scenario, rounds }) => [nameOf(scenario), rounds] as const)),
      cpuMsPerRequest: bench.cpuMsPerRequest(),
      cpu: 'Client, gateway, ring or upstream and control plane share all cores; each is one Node process, none is pinned.',
      portkey: peer === null ? null : peer.version,
    },
  }
}

interface Deos {
  readonly target: ChatTarget
  readonly ring: DirectRing
  readonly processes: Processes
}

interface Peer {
  readonly target: ChatTarget
  readonly processes: Processes
  readonly version: string
  /** Why it does not stream here; null if it does. */
  readonly noStreams: string | null
}

async function startDeos(options: GatewayBenchOptions, stops: (() => Promise<void>)[]): Promise<Deos> {
  const { builtFolder, benchEntry, modelPath, cacheFolder } = options
  const plane = await ControlPlaneProcess.start({
    ...{ entry: join(builtFolder, 'control-plane.mjs'), modelFolder: join(modelPath, '..') },
    ...{ databaseUrl: null, logFolder: cacheFolder },
  })
  stops.push(() => plane.stop())
  const fleet: Fleet = new PartProcess('fleet', benchEntry)
  stops.push(() => fleet.stop())
  const stage = await startRing(plane, fleet, modelPath)
  const { secret } = await plane.client().keys.create({
    body: { name: 'bench', scopes: ['inference'], rateLimit: highLimits },
  })
  const gateway = await startGateway(plane, options)
  stops.push(() => gateway.process.stop())
  const ring = await DirectRing.connect(stage)
  stops.push(() => ring.stop())
  return {
    target: {
      ...{ origin: gateway.url, path: '/v1/chat/completions', model: modelName },
      headers: { 'content-type': 'application/json', authorization: `Bearer ${secret}` },
    },
    ring,
    processes: {
      gateway: () => gateway.process.pids(),
      ring: () => [fleet.pid],
      controlPlane: () => plane.process.pids(),
    },
  }
}

/** One machine with a ring of one stage. */
async function startRing(plane: ControlPlaneProcess, fleet: Fleet, modelPath: string): Promise<RunningStage> {
  const client = plane.client()
  const { version } = await client.status.show()
  const joinToken = await plane.joinToken()
  await fleet.call('join', {
    ...{ url: plane.url, joinToken, version, machines: 1, concurrency: 1, pace, token, linksEveryMs: 60_000 },
  })
  const modelId = await plane.registerModel(modelPath)
  const { id } = await client.deployments.create({
    body: { name: modelName, servedAs: modelName, spec: { modelId: modelId as never, sessions: 64 } },
  })
  await until('The deployment is not ready', async () => {
    const { deployment } = await client.deployments.show({ params: { deployment: id } })
    return deployment.state === 'ready'
  })
  const [stage] = await fleet.call('stages')
  return stage!
}

async function startGateway(plane: ControlPlaneProcess, { builtFolder, cacheFolder }: GatewayBenchOptions) {
  let resolveUrl: (url: string) => void
  const url = new Promise<string>((resolve) => {
    resolveUrl = resolve
  })
  const process_ = new ServerProcess({
    name: 'gateway',
    file: process.execPath,
    args: [
      ...[join(builtFolder, 'gateway.mjs'), '--control-plane', plane.url, '--port', '0'],
      ...['--cache', join(cacheFolder, 'tokenizers')],
    ],
    env: { DEOS_GATEWAY_TOKEN: plane.gatewayToken, DEOS_LOG_LEVEL: 'warn' },
    logFile: join(cacheFolder, 'gateway.log'),
    onLine: (line) => {
      const event = JSON.parse(line) as { ready?: unknown; url?: unknown }
      if (event.ready === true) resolveUrl(String(event.url))
    },
  })
  return { process: process_, url: await process_.whenReady(url) }
}

async function startPeer(options: GatewayBenchOptions, stops: (() => Promise<void>)[]): Promise<Peer> {
  const { benchEntry, portkeyFolder, cacheFolder } = options
  const upstream: Upstream = new PartProcess('upstream', benchEntry)
  stops.push(() => upstream.stop())
  const { url } = await upstream.call('start')
  const portkey: Portkey = await startPortkey(portkeyFolder, url, modelName, cacheFolder)
  stops.push(() => portkey.process.stop())
  const { target, version } = portkey
  const noStreams = await chatLoad(target, { ...alone, stream: true }, 1).then(
    () => null,
    () => `Portkey ${version} answers streams with an error on Node ${process.versions.node}`,
  )
  return {
    ...{ target, version, noStreams },
    processes: { portkey: () => portkey.process.pids(), upstream: () => [upstream.pid] },
  }
}

interface Overhead {
  /** Through our gateway, and to the ring directly. */
  readonly gatewayP50Ms: readonly number[]
  readonly ringP50Ms: readonly number[]
  readonly portkeyP50Ms: readonly number[]
}

class Comparison {
  readonly #plan: Plan
  /** CPU milliseconds and requests of each scenario's measurements. */
  readonly #cpu = new Map<string, { requests: number; readonly ms: Record<string, number> }>()

  constructor(
    private readonly options: GatewayBenchOptions,
    private readonly deos: Deos,
    private readonly peer: Peer | null,
    private readonly noPeer: string | null,
  ) {
    this.#plan = planOf(options.quick)
  }

  /** Until the gateway knows its ring, and everything has been compiled. */
  async warmUp(): Promise<void> {
    const { target } = this.deos
    await until('The gateway does not answer', async () => {
      const ready = await chatLoad(target, alone, 1).catch(() => null)
      return ready !== null
    })
    for (const scenario of scenarios.filter(({ connections }) => connections > 1)) {
      await chatLoad(target, scenario, this.#plan.warmUpMs / 2)
      if (this.#whyAlone(scenario) === null) {
        await chatLoad(this.peer!.target, scenario, this.#plan.warmUpMs / 2)
      }
    }
    await this.deos.ring.p50Ms(1, this.#plan.warmUpMs / 2)
  }

  /** One request after another of one token, in turn through a gateway and without. */
  async overhead(): Promise<Overhead> {
    const result = { gatewayP50Ms: [], ringP50Ms: [], portkeyP50Ms: [] } as Record<keyof Overhead, number[]>
    const { durationMs } = this.#plan
    const measurements = [
      async () => result.gatewayP50Ms.push((await chatLoad(this.deos.target, alone, durationMs)).p50Ms),
      async () => result.ringP50Ms.push(await this.deos.ring.p50Ms(alone.tokens, durationMs)),
      ...(this.peer === null
        ? []
        : [
            async () =>
              result.portkeyP50Ms.push((await chatLoad(this.peer!.target, alone, durationMs)).p50Ms),
          ]),
    ]
    for (let round = 0; round < this.#plan.rounds; round += 1) {
      for (const measure of round % 2 === 0 ? measurements : measurements.toReversed()) await measure()
    }
    const added = median(result.gatewayP50Ms) - median(result.ringP50Ms)
    this.options.progress(`the gateway adds ${added.toFixed(2)} ms to a request`)
    return result
  }

  /** Both in turn, so that drift of the machine falls on both alike. */
  async scenario(scenario: Scenario): Promise<ScenarioRounds> {
    const rounds: ScenarioRounds['rounds'][number][] = []
    const noPeer = this.#whyAlone(scenario)
    for (let round = 0; round < this.#plan.rounds; round += 1) {
      const deos = () => this.#measure(scenario, 'deos', this.deos)
      const portkey = async () =>
        noPeer === null ? await this.#measure(scenario, 'portkey', this.peer!) : null
      if (round % 2 === 0) rounds.push({ deos: await deos(), portkey: await portkey() })
      else {
        const peer = await portkey()
        rounds.push({ deos: await deos(), portkey: peer })
      }
    }
    const { deos, portkey } = summarizeScenario({ rounds })
    const of = ({ requestsPerSecond, p50Ms }: typeof deos) =>
      `${requestsPerSecond.toFixed(0)}/s, p50 ${p50Ms.toFixed(2)} ms`
    this.options.progress(
      `${nameOf(scenario)}: DeOS ${of(deos)}${portkey === null ? '' : `; Portkey ${of(portkey)}`}`,
    )
    return { scenario, rounds, noPeer }
  }

  /** By scenario and gateway, for each process behind it. */
  cpuMsPerRequest(): Readonly<Record<string, Readonly<Record<string, number>>>> {
    return Object.fromEntries(
      [...this.#cpu].map(([name, { requests, ms }]) => [
        name,
        Object.fromEntries(Object.entries(ms).map(([process_, spent]) => [process_, spent / requests])),
      ]),
    )
  }

  #whyAlone({ stream }: Scenario): string | null {
    return this.peer === null ? this.noPeer : stream ? this.peer.noStreams : null
  }

  async #measure(
    scenario: Scenario,
    name: string,
    { target, processes }: { readonly target: ChatTarget; readonly processes: Processes },
  ) {
    const all: Processes = { client: () => [process.pid], ...processes }
    const pids = Object.entries(all).map(([each, read]) => [each, read()] as const)
    const before = pids.map(([, of]) => cpuTimeMs(of))
    const load = await chatLoad(target, scenario, this.#plan.durationMs)
    const key = `${nameOf(scenario)}.${name}`
    const known = this.#cpu.get(key) ?? { requests: 0, ms: {} }
    this.#cpu.set(key, known)
    known.requests += load.requests
    for (const [index, [each, of]] of pids.entries()) {
      const after = cpuTimeMs(of)
      if (after === null) continue
      known.ms[each] = (known.ms[each] ?? 0) + after - before[index]!
    }
    return load
  }
}

function overheadFigures(overhead: Overhead, noPeer: string | null): readonly Figure[] {
  const { gatewayP50Ms, ringP50Ms, portkeyP50Ms } = overhead
  const vsPortkey = { id: 'gateway.latency.p50.vsPortkey', unit: 'ratio', better: 'lower' } as const
  return [
    measuredFigure({
      ...{ id: 'gateway.overhead.p50.ms', unit: 'ms', better: 'lower', bar: 2 },
      samples: gatewayP50Ms.map((ms, round) => ms - ringP50Ms[round]!),
    }),
    noPeer === null
      ? measuredFigure({ ...vsPortkey, samples: gatewayP50Ms.map((ms, round) => ms / portkeyP50Ms[round]!) })
      : skippedFigure({ ...vsPortkey, reason: noPeer }),
  ]
}

/** @throws Error with `problem` if it does not become true in time */
async function until(problem: string, holds: () => Promise<boolean>): Promise<void> {
  const startedMs = performance.now()
  while (!(await holds())) {
    if (performance.now() - startedMs > readyLimitMs) throw new Error(`${problem} after ${readyLimitMs} ms.`)
    await sleep(100)
  }
}
