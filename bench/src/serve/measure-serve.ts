import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '@deos/domain'
import type { WeightType } from '@deos/engine/weights'
import { type Figure, median } from '../contract.ts'
import { type Contender, type ContenderName, type ServerSize, stopContender } from './contender.ts'
import { type DeosServerOptions, startDeos } from './deos-server.ts'
import { type SharedLibraries, shareLibraries } from './llama-libraries.ts'
import { type LlamaKv, startLlamaServer } from './llama-server.ts'
import { closedLoop, type LoadSummary, openLoop, summarize, timeToFirstToken } from './load.ts'
import { poissonArrivals } from './poisson.ts'
import { measureStall } from './prefill-stall.ts'
import { mappedFiles } from './process-tree.ts'
import { measureRounds, type Rounds } from './rounds.ts'
import { comparison, latencyFigures, share } from './serve-figures.ts'
import { type ServeModel, serveModel } from './serve-model.ts'
import {
  type ClientCount,
  clientCounts,
  fullPlan,
  quickPlan,
  type ServePlan,
  serveSettings as settings,
} from './serve-plan.ts'
import { exitOnSignals } from './server-process.ts'
import { Workload, workloads } from './workload.ts'

export interface ServeBenchOptions {
  readonly quick: boolean
  readonly model: string | null
  /** Element type of random weights. */
  readonly type: WeightType
  readonly threads: number
  /** Rounds of each scenario; `null` for the plan's. */
  readonly rounds: number | null
  /** llama.cpp's server; `null` leaves it out. */
  readonly llamaServer: string | null
  readonly llamaKv: LlamaKv
  /** `dist/deos.mjs`. */
  readonly deosEntry: string
  readonly cacheDir: string
  progress(line: string): void
}

const withoutLlamaServer =
  'llama.cpp’s server was not given: --llama-server PATH, or DEOS_LLAMA_SERVER. How to build it stands in bench/src/serve/llama-libraries.ts.'

/** Tokens/s and latencies of HTTP servers under load. */
export async function measureServe(options: ServeBenchOptions) {
  const { model: path, quick, type, cacheDir, llamaServer } = options
  const folder = join(cacheDir, 'serve')
  mkdirSync(folder, { recursive: true })
  const libraries = llamaServer === null ? null : shareLibraries(llamaServer, join(folder, 'libraries'))
  const { longTokens } = settings
  const model = await serveModel({
    ...{ model: path, quick, type, cacheDir, contextTokens: longTokens },
    progress: options.progress,
  })
  exitOnSignals()
  const bench = new ServeBench(options, model, libraries, folder)
  try {
    return await bench.run()
  } finally {
    await bench.stopAll()
  }
}

interface ScenarioResult {
  readonly figures: readonly Figure[]
  readonly raw: Readonly<Record<string, unknown>>
}

/** All scenarios on one model, with the servers they need. */
class ServeBench {
  readonly #plan: ServePlan
  readonly #running = new Set<Contender>()
  /** CPU backends that contenders loaded. */
  readonly #kernels: Partial<Record<ContenderName, readonly string[]>> = {}
  /** CPU time of idle contenders while another was measured. */
  readonly #idle = { cpuMs: 0, elapsedMs: 0 }

  constructor(
    private readonly options: ServeBenchOptions,
    private readonly model: ServeModel,
    private readonly libraries: SharedLibraries | null,
    private readonly folder: string,
  ) {
    const plan = options.quick ? quickPlan : fullPlan
    this.#plan = { ...plan, rounds: options.rounds ?? plan.rounds }
  }

  async run() {
    const deos = await this.#startDeos('deos')
    const loads = await this.#measureLoads(deos)
    const long = await this.#measureLongPrompts(deos)
    const shared = await this.#measureSharedPrefix(deos)
    const { options, model, libraries } = this
    const raw = {
      model: options.model ?? 'synthetic',
      file: model.path,
      threads: options.threads,
      llamaServer: libraries && { libraries: libraries.note, kv: options.llamaKv },
      kernels: this.#kernels,
      idle: this.#idle,
      plan: this.#plan,
      settings,
      workloads,
      ...loads.raw,
      ...long.raw,
      ...shared.raw,
    }
    return { figures: [...loads.figures, ...long.figures, ...shared.figures], raw }
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running].map((contender) => this.#stop(contender)))
  }

  /** Tokens/s at every number of clients, latencies of a closed and of an open loop. */
  async #measureLoads(deos: Contender): Promise<ScenarioResult> {
    const byClients = new Map<ClientCount, Rounds<LoadSummary>>()
    for (const clients of clientCounts) byClients.set(clients, await this.#closedLoad(deos, clients))
    const capacity = Math.min(
      ...[...byClients.get(settings.capacityClients)!.values()].map((results) =>
        median(results.map(({ requestsPerSecond }) => requestsPerSecond)),
      ),
    )
    const ratePerSecond = settings.openLoadShare * capacity
    const open = await this.#openLoad(deos, ratePerSecond)
    const throughput = [...byClients].map(([clients, rounds]) =>
      comparison(
        { id: `serve.throughput.clients${clients}.vsLlamaServer`, better: 'higher', bar: 1 },
        rounds,
        'llamaServer',
        ({ tokensPerSecond }) => tokensPerSecond,
        withoutLlamaServer,
      ),
    )
    const { closedClients, openLoadShare } = settings
    return {
      figures: [
        ...throughput,
        ...latencyFigures(
          `serve.closed.clients${closedClients}`,
          byClients.get(closedClients)!,
          withoutLlamaServer,
        ),
        ...latencyFigures(`serve.open.load${100 * openLoadShare}`, open, withoutLlamaServer),
      ],
      raw: {
        closed: Object.fromEntries(
          [...byClients].map(([clients, rounds]) => [`clients${clients}`, Object.fromEntries(rounds)]),
        ),
        open: { ratePerSecond, ...Object.fromEntries(open) },
      },
    }
  }

  async #closedLoad(deos: Contender, clients: ClientCount): Promise<Rounds<LoadSummary>> {
    const llama = await this.#startLlama({ slots: clients, slotTokens: settings.mixedTokens })
    const contenders = [deos, ...llama]
    for (const { client } of contenders) {
      await closedLoop(client, this.#workload(`warm-up ${clients}`, 0).short(clients, 8), clients)
    }
    const rounds = await this.#rounds(contenders, async ({ client }, round) => {
      const requests = this.#workload(`closed ${clients}`, round).mixed(this.#plan.requests[clients])
      return summarize(await closedLoop(client, requests, clients))
    })
    this.#report(`${clients} clients`, rounds)
    for (const contender of llama) await this.#stop(contender)
    return rounds
  }

  async #openLoad(deos: Contender, ratePerSecond: number): Promise<Rounds<LoadSummary>> {
    const llama = await this.#startLlama({ slots: settings.openSlots, slotTokens: settings.mixedTokens })
    for (const { client } of llama) {
      await closedLoop(client, this.#workload('warm-up open', 0).short(8, 8), 8)
    }
    const rounds = await this.#rounds([deos, ...llama], async ({ client }, round) => {
      const count = this.#plan.openRequests
      const random = seededRandom(seedOf('arrivals', round))
      const arrivals = poissonArrivals({ count, ratePerSecond, random })
      return summarize(await openLoop(client, this.#workload('open', round).mixed(count), arrivals))
    })
    this.#report(`${ratePerSecond.toFixed(1)} requests/s`, rounds)
    for (const contender of llama) await this.#stop(contender)
    return rounds
  }

  /** Streams beside a long prompt, and a prompt most of which was seen before. */
  async #measureLongPrompts(deos: Contender): Promise<ScenarioResult> {
    const { longSlots: slots, longTokens: slotTokens } = settings
    const llama = await this.#startLlama({ slots, slotTokens })
    for (const { client } of llama) {
      await closedLoop(client, this.#workload('warm-up long', 0).mixed(slots), slots)
    }
    const whole = await this.#startDeos('wholePrompts')
    const stall = await this.#measureStalls([deos, whole, ...llama])
    await this.#stop(whole)
    const prefix = await this.#measurePrefixTtft([deos, ...llama])
    for (const contender of llama) await this.#stop(contender)
    return { figures: [...stall.figures, ...prefix.figures], raw: { ...stall.raw, ...prefix.raw } }
  }

  async #measureStalls(contenders: readonly Contender[]): Promise<ScenarioResult> {
    const { decodingStreams, longTokens, baselineTokens, prefillTokens } = settings
    const rounds = await this.#rounds(contenders, ({ client }, round) => {
      const workload = this.#workload('stall', round)
      const streams = workload.short(decodingStreams, longTokens - 2 * baselineTokens)
      const long = { prompt: workload.tokens(prefillTokens), maxTokens: 1 }
      return measureStall(client, { streams, long, baselineTokens })
    })
    const ratios = mapRounds(rounds, ({ duringP99Ms, baselineMs }) => duringP99Ms / baselineMs)
    this.#reportNumbers('p99 TPOT beside a long prompt by the median without', ratios)
    const figure = (id: string, name: ContenderName, bar?: number) =>
      share(
        { id: `serve.prefillStall.${id}`, better: 'lower', ...(bar !== undefined && { bar }) },
        ratios,
        name,
        withoutLlamaServer,
      )
    return {
      figures: [
        figure('tpotP99VsMedian', 'deos', 2),
        figure('wholePrompts.tpotP99VsMedian', 'wholePrompts'),
        figure('llamaServer.tpotP99VsMedian', 'llamaServer'),
      ],
      raw: { prefillStall: Object.fromEntries(rounds) },
    }
  }

  async #measurePrefixTtft(contenders: readonly Contender[]): Promise<ScenarioResult> {
    const { prefixPromptTokens, sharedShare } = settings
    const rounds = await this.#rounds(contenders, async ({ client }, round) => {
      const prompts = this.#workload('prefix', round).pairSharing(prefixPromptTokens, sharedShare)
      const [cold, warm] = [
        await client.complete({ prompt: prompts[0], maxTokens: 2 }),
        await client.complete({ prompt: prompts[1], maxTokens: 2 }),
      ]
      return {
        coldMs: timeToFirstToken(cold),
        warmMs: timeToFirstToken(warm),
        cachedTokens: warm.cachedTokens,
      }
    })
    const ratios = mapRounds(rounds, ({ coldMs, warmMs }) => warmMs / coldMs)
    this.#reportNumbers('TTFT warm by cold', ratios)
    const terms = { better: 'lower' } as const
    return {
      figures: [
        share(
          { id: 'serve.prefixCache.ttftWarmVsCold', ...terms, bar: 0.2 },
          ratios,
          'deos',
          withoutLlamaServer,
        ),
        share(
          { id: 'serve.prefixCache.llamaServer.ttftWarmVsCold', ...terms },
          ratios,
          'llamaServer',
          withoutLlamaServer,
        ),
      ],
      raw: { prefixTtft: Object.fromEntries(rounds) },
    }
  }

  /** Tokens/s with and without the prefix cache where prompts share most of their tokens. */
  async #measureSharedPrefix(deos: Contender): Promise<ScenarioResult> {
    const without = await this.#startDeos('withoutPrefixCache')
    const rounds = await this.#rounds([deos, without], async ({ client }, round) => {
      const requests = this.#workload('shared', round).sharedPrefix(this.#plan.sharedPrefixRequests)
      return summarize(await closedLoop(client, requests, settings.sharedPrefixClients))
    })
    this.#report('shared prefix', rounds)
    await this.#stop(without)
    return {
      figures: [
        comparison(
          { id: 'serve.prefixCache.throughput.vsWithoutPrefixCache', better: 'higher' },
          rounds,
          'withoutPrefixCache',
          ({ tokensPerSecond }) => tokensPerSecond,
          'There is no server without prefix cache.',
        ),
      ],
      raw: { sharedPrefix: Object.fromEntries(rounds) },
    }
  }

  #rounds<R>(
    contenders: readonly Contender[],
    measure: (contender: Contender, round: number) => Promise<R>,
  ): Promise<Rounds<R>> {
    return measureRounds({
      contenders,
      count: this.#plan.rounds,
      measure,
      onIdle: (cpuMs, elapsedMs) => {
        this.#idle.cpuMs += cpuMs
        this.#idle.elapsedMs += elapsedMs
      },
    })
  }

  async #startDeos(name: Exclude<ContenderName, 'llamaServer'>): Promise<Contender> {
    this.options.progress(`starting ${name}`)
    const maxSessions = Math.max(...clientCounts)
    const options: DeosServerOptions = {
      entry: this.options.deosEntry,
      modelPath: this.model.path,
      threads: this.options.threads,
      maxSessions,
      contextTokens: settings.longTokens,
      // What llama.cpp's server has in its largest configuration.
      poolTokens: Math.max(maxSessions * settings.mixedTokens, settings.longSlots * settings.longTokens),
      kvBytesPerToken: this.model.kvBytesPerToken,
      homeFolder: this.folder,
    }
    const contender = this.#started(await startDeos(name, options))
    const { requests: count, tokens, clients } = settings.warmUp
    const requests = this.#workload('warm-up', 0).short(count, tokens)
    await closedLoop(contender.client, requests, clients)
    return contender
  }

  /** None if it was not given. */
  async #startLlama(size: ServerSize): Promise<readonly Contender[]> {
    const { llamaServer: binary, llamaKv: kv, threads } = this.options
    if (binary === null || this.libraries === null) return []
    const { libraries, folder: logFolder } = this
    const modelPath = this.model.path
    return [
      this.#started(
        await startLlamaServer({ binary, libraries, modelPath, threads, kv, logFolder, ...size }),
      ),
    ]
  }

  #started(contender: Contender): Contender {
    this.#running.add(contender)
    this.#kernels[contender.name] ??= mappedFiles(contender.process.pids(), /ggml-cpu[^/]*$/)
    return contender
  }

  async #stop(contender: Contender): Promise<void> {
    this.#running.delete(contender)
    await stopContender(contender)
  }

  /** Every scenario and round has prompts of its own: nothing is in a cache by accident. */
  #workload(scenario: string, round: number): Workload {
    return new Workload(this.model.ids, seedOf(scenario, round))
  }

  #report(what: string, rounds: Rounds<LoadSummary>): void {
    const parts = [...rounds].map(([name, results]) => {
      const middle = (pick: (summary: LoadSummary) => number) => median(results.map(pick)).toFixed(1)
      return (
        `${name} ${middle(({ tokensPerSecond }) => tokensPerSecond)} tokens/s, ` +
        `TTFT ${middle(({ ttftMs }) => ttftMs.p50)} ms, TPOT ${middle(({ tpotMs }) => tpotMs.p50)} ms`
      )
    })
    this.options.progress(`${what}: ${parts.join('; ')}`)
  }

  #reportNumbers(what: string, rounds: Rounds<number>): void {
    const parts = [...rounds].map(([name, values]) => `${name} ${median(values).toFixed(2)}`)
    this.options.progress(`${what}: ${parts.join('; ')}`)
  }
}

/** A number for a name and a round (FNV-1a). */
function seedOf(name: string, round: number): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(`${name} ${round}`)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

const mapRounds = <R>(rounds: Rounds<R>, map: (result: R) => number): Rounds<number> =>
  new Map([...rounds].map(([name, results]) => [name, results.map(map)]))
