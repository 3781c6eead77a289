import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ApiClient, eachItem } from '@deos/sdk'
import { type Figure, measuredFigure, skippedFigure } from '../contract.ts'
import { cpuTimeMs } from '../serve/process-tree.ts'
import { residentBytes } from '../soak/resident-memory.ts'
import { ControlPlaneProcess } from './control-plane-process.ts'
import { eventLoopLagMs, parseExposition } from './exposition.ts'
import type { FleetPart, RunningStage } from './fleet-part.ts'
import { sessionsPerReplica } from './machine-kinds.ts'
import { PartProcess } from './part-process.ts'
import { type ReadTargets, type ReadTime, readLoad, summarizeReads } from './read-load.ts'

export interface ControlPlaneBenchOptions {
  readonly quick: boolean
  readonly machines: number
  readonly deployments: number
  /** `dist`. */
  readonly builtFolder: string
  /** The bench's own file. */
  readonly benchEntry: string
  readonly modelPath: string
  readonly databaseUrl: string | null
  readonly logFolder: string
  /** Where a CPU profile of the control plane is left; null makes none. */
  readonly profileFolder: string | null
  progress(line: string): void
}

const readsPerSecond = 20
const joinsAtOnce = 16
const createsAtOnce = 4
/** Machines that are killed at once. */
const killed = 20
const readyLimitMs = 300_000
const healLimitMs = 120_000
const pollMs = 100
const progressMs = 10_000
/** CPU time is looked at this often: as long as the control plane's slowest habit, its samples. */
const windowMs = 10_000
const pace = { tickMs: 250, probeIntervalMs: 5_000, linkHeartbeatMs: 2_000 } as const
const anyToken = 267

interface Plan {
  /** Before the measurement, for what a start leaves behind to be done. */
  readonly settleMs: number
  readonly steadyMs: number
  readonly kills: number
}

const planOf = (quick: boolean): Plan =>
  quick ? { settleMs: 3_000, steadyMs: 15_000, kills: 1 } : { settleMs: 15_000, steadyMs: 60_000, kills: 3 }

type Fleet = PartProcess<FleetPart['calls']>

/** What a steady time cost. */
interface Steady {
  /** Of one core, in each window; null where that cannot be seen. */
  readonly cpuShares: readonly number[] | null
  readonly residentBytes: number | null
  readonly lagMs: Readonly<Record<string, number>>
  readonly reads: readonly ReadTime[]
  readonly heartbeatsPerSecond: number
  /** What the simulated machines' process took, of one core. */
  readonly fleetCpuShare: number | null
}

/** Measures one control plane with a whole fleet of simulated machines. */
export async function measureControlPlane(options: ControlPlaneBenchOptions) {
  mkdirSync(options.logFolder, { recursive: true })
  const { builtFolder, modelPath, databaseUrl, logFolder, profileFolder } = options
  const plane = await ControlPlaneProcess.start({
    ...{ entry: join(builtFolder, 'control-plane.mjs'), modelFolder: join(modelPath, '..') },
    ...{ databaseUrl, logFolder },
    nodeFlags: profileFolder === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`],
  })
  const fleet: Fleet = new PartProcess('fleet', options.benchEntry)
  try {
    return await new Measurement(options, plane, fleet).run()
  } finally {
    await plane.stop()
    await fleet.stop()
  }
}

class Measurement {
  readonly #client: ApiClient
  readonly #plan: Plan

  constructor(
    private readonly options: ControlPlaneBenchOptions,
    private readonly plane: ControlPlaneProcess,
    private readonly fleet: Fleet,
  ) {
    this.#client = plane.client()
    this.#plan = planOf(options.quick)
  }

  async run(): Promise<{ readonly figures: readonly Figure[]; readonly raw: Record<string, unknown> }> {
    const { progress, machines, deployments } = this.options
    const joinS = await seconds(() => this.#join())
    progress(`${machines} machines joined in ${joinS.toFixed(1)} s`)
    const readyS = await seconds(() => this.#deploy())
    progress(`${deployments} deployments are ready after ${readyS.toFixed(1)} s`)
    await sleep(this.#plan.settleMs)
    const steady = await this.#steady()
    const reads = summarizeReads(steady.reads)
    const share = steady.cpuShares === null ? null : mean(steady.cpuShares)
    progress(
      `steady: ${share === null ? 'unknown' : share.toFixed(3)} of a core, reads p99 ${reads.all.p99Ms.toFixed(1)} ms`,
    )
    const ringSizes = countBy((await this.fleet.call('stages')).filter(isFirst), ({ stages }) => stages)
    const heals: number[] = []
    for (let kill = 0; kill < this.#plan.kills; kill += 1) {
      heals.push(await this.#heal(kill))
      progress(`${killed} machines killed: whole again after ${(heals.at(-1)! / 1000).toFixed(1)} s`)
    }
    return {
      figures: figuresOf(steady, reads.all.p99Ms, heals, readyS),
      raw: {
        ...{ machines, deployments, joinS, ringSizes, reads, killed },
        database: this.options.databaseUrl === null ? 'embedded' : 'server',
        cpuShares: steady.cpuShares,
        cpuShareMean: share,
        ...{ residentBytes: steady.residentBytes, eventLoopLagMs: steady.lagMs },
        ...{ heartbeatsPerSecond: steady.heartbeatsPerSecond, fleetCpuShare: steady.fleetCpuShare },
        fleet: await this.fleet.call('counters'),
      },
    }
  }

  async #join(): Promise<void> {
    const joinToken = await this.plane.joinToken()
    const { version } = await this.#client.status.show()
    await this.fleet.call('join', {
      ...{ url: this.plane.url, joinToken, version, machines: this.options.machines },
      ...{ concurrency: joinsAtOnce, pace, token: anyToken, linksEveryMs: 60_000 },
    })
    const startedMs = performance.now()
    for (;;) {
      const { machines } = await this.#client.status.show()
      if (machines.ready === this.options.machines) return
      if (performance.now() - startedMs > readyLimitMs) {
        const { problems } = await this.fleet.call('counters')
        throw new Error(`Only ${machines.ready} machines are ready. ${problems.join('; ')}`)
      }
      await sleep(pollMs)
    }
  }

  async #deploy(): Promise<void> {
    const modelId = await this.plane.registerModel(this.options.modelPath)
    const names = Array.from({ length: this.options.deployments }, (_, index) => `bench-${index}`).values()
    const createSome = async () => {
      for (const name of names) {
        await this.#client.deployments.create({
          body: { name, servedAs: name, spec: { modelId: modelId as never, sessions: sessionsPerReplica } },
        })
      }
    }
    await Promise.all(Array.from({ length: createsAtOnce }, createSome))
    await this.#untilReady(readyLimitMs)
  }

  /** @throws Error saying which are not ready, if the time is over */
  async #untilReady(limitMs: number): Promise<void> {
    const startedMs = performance.now()
    let toldMs = startedMs
    for (;;) {
      const waiting = (await this.#deployments()).filter(({ state }) => state !== 'ready')
      if (waiting.length === 0) return
      if (performance.now() - toldMs > progressMs) {
        toldMs = performance.now()
        this.options.progress(`${waiting.length} deployments are not ready yet`)
      }
      if (performance.now() - startedMs > limitMs) {
        const { name, state, reason } = waiting[0]!
        throw new Error(
          `${waiting.length} deployments are not ready after ${limitMs / 1000} s, such as ${name}: ${state}. ${reason.message}`,
        )
      }
      await sleep(pollMs)
    }
  }

  async #deployments() {
    const all = []
    for await (const deployment of eachItem(this.#client.deployments.list, { limit: 200 })) {
      all.push(deployment)
    }
    return all
  }

  async #steady(): Promise<Steady> {
    const targets = await this.#targets()
    await this.#lagMs()
    const pids = this.plane.process.pids()
    const before = await this.fleet.call('counters')
    const fleetCpuMs = cpuTimeMs([this.fleet.pid])
    const startedMs = performance.now()
    const { steadyMs } = this.#plan
    const [reads, cpuShares] = await Promise.all([
      readLoad(
        { url: this.plane.url, key: this.plane.key, perSecond: readsPerSecond, durationMs: steadyMs },
        targets,
      ),
      cpuShareWindows(pids, steadyMs),
    ])
    const elapsedMs = performance.now() - startedMs
    const after = await this.fleet.call('counters')
    return {
      ...{ reads, cpuShares, residentBytes: residentBytes(pids), lagMs: await this.#lagMs() },
      heartbeatsPerSecond: (after.heartbeats - before.heartbeats) / (elapsedMs / 1000),
      fleetCpuShare: fleetCpuMs === null ? null : (cpuTimeMs([this.fleet.pid])! - fleetCpuMs) / elapsedMs,
    }
  }

  async #targets(): Promise<ReadTargets> {
    const machines: string[] = []
    for await (const { id } of eachItem(this.#client.machines.list, { limit: 200 })) machines.push(id)
    return { machines, deployments: (await this.#deployments()).map(({ id }) => id) }
  }

  async #lagMs(): Promise<Readonly<Record<string, number>>> {
    return eventLoopLagMs(parseExposition(await (await fetch(`${this.plane.url}/metrics`)).text()))
  }

  /** Kills machines that hold stages. @returns until every deployment is ready without them */
  async #heal(round: number): Promise<number> {
    const stages = await this.fleet.call('stages')
    const holders = [...new Set(stages.map(({ machineId }) => machineId))].sort()
    const step = Math.max(1, Math.floor(holders.length / killed))
    const gone = new Set(holders.filter((_, index) => index % step === round % step).slice(0, killed))
    const hit = new Set(
      stages.filter(({ machineId }) => gone.has(machineId)).map(({ deploymentId }) => deploymentId),
    )
    const startedMs = performance.now()
    await this.fleet.call('kill', [...gone])
    for (;;) {
      await this.#untilReady(healLimitMs)
      if (await this.#areElsewhere(hit, gone)) return performance.now() - startedMs
      if (performance.now() - startedMs > healLimitMs) {
        throw new Error(`Stages are still on killed machines after ${healLimitMs / 1000} s.`)
      }
      await sleep(pollMs)
    }
  }

  async #areElsewhere(deployments: ReadonlySet<string>, gone: ReadonlySet<string>): Promise<boolean> {
    for (const deployment of deployments) {
      const { replicas } = await this.#client.deployments.show({ params: { deployment } as never })
      const ready = replicas.filter(({ state }) => state === 'ready')
      if (ready.length === 0) return false
      if (ready.some(({ stages }) => stages.some(({ machineId }) => gone.has(machineId)))) return false
    }
    return true
  }
}

function figuresOf(steady: Steady, readsP99Ms: number, heals: readonly number[], readyS: number) {
  const cpu = { id: 'control-plane.cpu.share', unit: 'ratio', better: 'lower', bar: 0.25 } as const
  return [
    steady.cpuShares === null
      ? skippedFigure({ ...cpu, reason: 'CPU time of processes cannot be read on this system' })
      : measuredFigure({ ...cpu, samples: steady.cpuShares }),
    measuredFigure({
      ...{ id: 'control-plane.reads.p99.ms', unit: 'ms', better: 'lower', bar: 100, samples: [readsP99Ms] },
    }),
    measuredFigure({ id: 'control-plane.heal.ms', unit: 'ms', better: 'lower', samples: heals }),
    measuredFigure({ id: 'control-plane.ready.s', unit: 's', better: 'lower', samples: [readyS] }),
  ]
}

/** Of one core, in windows as long as they fit. */
async function cpuShareWindows(pids: readonly number[], durationMs: number): Promise<number[] | null> {
  const windows = Math.max(1, Math.floor(durationMs / windowMs))
  const shares: number[] = []
  for (let window = 0; window < windows; window += 1) {
    const [startedMs, before] = [performance.now(), cpuTimeMs(pids)]
    await sleep(durationMs / windows)
    const after = cpuTimeMs(pids)
    if (before === null || after === null) return null
    shares.push((after - before) / (performance.now() - startedMs))
  }
  return shares
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now()
  await work()
  return (performance.now() - startedMs) / 1000
}

const isFirst = ({ position }: RunningStage): boolean => position === 0

function countBy<T>(items: readonly T[], key: (item: T) => number): Readonly<Record<number, number>> {
  const counts: Record<number, number> = {}
  for (const item of items) counts[key(item)] = (counts[key(item)] ?? 0) + 1
  return counts
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length
