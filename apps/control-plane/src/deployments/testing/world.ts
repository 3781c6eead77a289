import { once } from 'node:events'
import type { UserId } from '@deos/api'
import {
  bytes,
  bytesPerSecond,
  type FleetSnapshot,
  type IdSource,
  type LayerRange,
  type Link,
  type MachineId,
  type ModelFootprint,
  type ModelId,
  ms,
  type OrganisationId,
  type Placer,
  type StageId,
  seededRandom,
  tokens,
} from '@deos/domain'
import type { Deployment, DeploymentEvent, DeploymentsState, MachineStanding, Replica } from '@deos/fleet'
import { ringPlacer } from '@deos/planner'
import { systemTimers } from '@deos/transport'
import { Claims } from '../../cluster/claims.ts'
import { ClusterSecrets } from '../../cluster/cluster-secrets.ts'
import type { Database } from '../../database/database.ts'
import { gateways, organisations, projects, settings } from '../../database/schema/index.ts'
import { testLogger } from '../../database/testing/databases.ts'
import { EventSourced } from '../../events/event-sourced.ts'
import { EventStore } from '../../events/event-store.ts'
import type { Caller } from '../../http/caller.ts'
import type { MachineReport, StageReport } from '../../machines/machine-reports.ts'
import { RoutingFeed } from '../../routing/routing-feed.ts'
import { Assignments } from '../assignments.ts'
import type { DeployableFleet, MachineFacade } from '../deployable-fleet.ts'
import type { DeployedModel, DeployedModels } from '../deployed-models.ts'
import { DeploymentLog } from '../deployment-log.ts'
import { DeploymentService } from '../deployment-service.ts'
import { deploymentsStream } from '../deployments-stream.ts'
import { RingAccess } from '../ring-access.ts'
import { type GenerateToken, NoTokenError } from '../ring-token.ts'

export const ours = 'org-ours' as OrganisationId
export const theirs = 'org-theirs' as OrganisationId

/** Six layers of 10 bytes with 1 byte of KV for each of 10 tokens: 120 bytes. */
const sixLayers: ModelFootprint = {
  weightType: 'F16',
  layerBytes: new Array(6).fill(bytes(10)),
  embeddingBytes: bytes(0),
  headBytes: bytes(0),
  kvBytesPerLayer: bytes(1),
  boundaryBytes: bytes(1),
}

export const modelOf = (organisation: OrganisationId): ModelId => `model-${organisation}` as ModelId

/** A machine with an agent that does what its assignments say. */
export class TestMachine {
  incarnation = 1
  standing: MachineStanding['standing'] = 'open'
  running = true
  /** Stages of which loading fails, by how often. */
  failing = 0
  behindNat = false
  readonly held = new Map<StageId, StageReport>()
  #seen = 0
  #port = 7000

  constructor(
    readonly id: MachineId,
    readonly organisation: OrganisationId,
    readonly freeBytes: number,
  ) {}

  /** Looks at what is assigned, does a part of it and says so. */
  async step(control: TestControl): Promise<void> {
    if (!this.running) return
    const { version, assignments } = await control.assignments.of(this.id, this.incarnation)
    this.#seen = version
    const wanted = new Set(assignments.map(({ stageId }) => stageId))
    for (const id of this.held.keys()) if (!wanted.has(id)) this.held.delete(id)
    for (const { stageId, generation } of assignments) {
      const before = this.held.get(stageId)
      if (before === undefined) this.held.set(stageId, this.#begun(stageId, generation))
      else if (before.state === 'loading') this.held.set(stageId, this.#loaded(before))
    }
    const report = this.report(control.now().getTime())
    control.world.reports.set(this.id, report)
    await control.log.onStageReports(this.id, this.incarnation, report.stages, this.#seen)
  }

  restart(): void {
    this.running = true
    this.incarnation += 1
    this.held.clear()
    this.standing = 'open'
  }

  report(reportedAtMs: number): MachineReport {
    return {
      machine: this.id,
      incarnation: this.incarnation,
      sequence: reportedAtMs,
      assignmentsVersion: this.#seen,
      load: { cpuFraction: 0, memoryUsedBytes: bytes(0), devices: [] },
      stages: [...this.held.values()],
      reportedAtMs,
    }
  }

  #begun(stageId: StageId, generation: number): StageReport {
    this.#port += 1
    return {
      stageId,
      generation,
      state: 'loading',
      loadedFraction: 0,
      linkAddress: this.behindNat ? null : `10.0.0.1:${this.#port}`,
      nextRoundTripMs: null,
      nextPath: null,
      problem: null,
      activeSessions: 0,
      kvUsedTokens: tokens(0),
      busyFraction: 0,
      generatedTokens: tokens(0),
    }
  }

  #loaded(before: StageReport): StageReport {
    if (this.failing === 0) return { ...before, state: 'loaded', loadedFraction: 1 }
    this.failing -= 1
    return { ...before, state: 'failed', problem: 'out of memory' }
  }
}

/** Machines and models that several control planes share. */
export class TestWorld {
  readonly machines = new Map<MachineId, TestMachine>()
  readonly reports = new Map<MachineId, MachineReport>()
  readonly links: Link[] = []
  readonly prices = new Map<MachineId, MachineFacade['pricePerHour']>()
  placer: Placer = ringPlacer
  modelsReady = true
  nowMs = Date.UTC(2026, 0, 5)
  readonly #listeners = new Set<() => void>()

  machine(name: string, organisation = ours, freeBytes = 120): TestMachine {
    const machine = new TestMachine(`machine-${name}` as MachineId, organisation, freeBytes)
    this.machines.set(machine.id, machine)
    this.changed()
    return machine
  }

  changed(): void {
    for (const listener of this.#listeners) listener()
  }

  onChange = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  readonly fleet: DeployableFleet = {
    refresh: async () => undefined,
    onChange: this.onChange,
    standings: (organisation) =>
      [...this.machines.values()]
        .filter((machine) => organisation === null || machine.organisation === organisation)
        .map(({ id, organisation, standing, incarnation }) => ({
          machine: id,
          organisation,
          standing,
          reason: 'as played',
          incarnation,
        })),
    snapshot: (organisation) => this.#snapshot(organisation),
    details: (machine) =>
      this.machines.has(machine)
        ? {
            name: machine.replace('machine-', ''),
            location: { region: 'eu', provider: 'home' },
            pricePerHour: this.prices.get(machine) ?? null,
          }
        : null,
    reportOf: (machine) => this.reports.get(machine) ?? null,
    linkBetween: (from, to) => this.links.find((link) => link.from === from && link.to === to) ?? null,
  }

  readonly models: DeployedModels = {
    modelOf: (id) => {
      const organisation = [ours, theirs].find((candidate) => modelOf(candidate) === id)
      return organisation === undefined ? null : this.#model(id, organisation)
    },
    footprint: (_, precision) =>
      this.modelsReady && ['native', 'Q8_0'].includes(precision) ? sixLayers : null,
    onChange: this.onChange,
  }

  #model(id: ModelId, organisation: OrganisationId): DeployedModel {
    const ready = this.modelsReady
    return {
      id,
      organisation,
      name: 'nano',
      state: ready ? 'ready' : 'downloading',
      shape: ready ? { layers: 6, contextTokens: tokens(10), vocabulary: 61 } : null,
      fingerprint: ready ? 'fingerprint' : null,
      files: [],
    }
  }

  #snapshot(organisation: OrganisationId): FleetSnapshot {
    return {
      links: this.links,
      candidates: [...this.machines.values()]
        .filter((machine) => machine.organisation === organisation)
        .map(({ id, freeBytes }) => ({
          machine: id,
          device: 'CPU',
          location: { region: 'eu', provider: 'home' },
          freeBytes: bytes(freeBytes),
          benchmark: {
            device: 'CPU',
            weightBytesPerSecond: bytesPerSecond(1e9),
            flopsPerSecond: {},
            hostBytesPerSecond: null,
          },
        })),
    }
  }
}

/** One control plane, whose loops the test turns by hand. */
export class TestControl {
  /** Why the next tokens do not come. */
  noToken: string | null = null
  /** Whether rings that are asked say nothing at all. */
  silent = false
  verified = 0

  private constructor(
    readonly world: TestWorld,
    readonly database: Database,
    readonly stream: EventSourced<DeploymentsState, DeploymentEvent>,
    readonly store: EventStore,
    readonly log: DeploymentLog,
    readonly assignments: Assignments,
    readonly feed: RoutingFeed,
    readonly service: DeploymentService,
    private readonly generate: { run: GenerateToken },
  ) {
    this.generate.run = async (_target, _timeoutMs, signal) => {
      if (this.silent) await once(signal, 'abort')
      if (signal.aborted) throw new NoTokenError('nobody waits any more')
      if (this.noToken !== null) throw new NoTokenError(this.noToken)
      this.verified += 1
      return 5
    }
  }

  static async open(database: Database, world: TestWorld, name = 'a'): Promise<TestControl> {
    const logger = testLogger
    const now = () => new Date(world.nowMs)
    const store = new EventStore(database)
    const stream = new EventSourced(deploymentsStream, { database, store, logger })
    await stream.start()
    const ids = numbered(name)
    const log = new DeploymentLog({ stream, now, ids })
    const rings = await RingAccess.open(new ClusterSecrets({ database, now }))
    const { fleet, models } = world
    const sourcesOf = async (_reader: MachineId, _model: DeployedModel, _layers: LayerRange) => []
    const assignments = new Assignments({ log, models, rings, sourcesOf })
    const parts = { log, models, rings, database, timers: systemTimers, now, logger }
    const feed = new RoutingFeed(parts)
    const generate: { run: GenerateToken } = { run: async () => 0 }
    const service = new DeploymentService({
      ...parts,
      fleet,
      ids,
      placer: { place: (request, room) => world.placer.place(request, room) },
      random: seededRandom(1),
      claims: new Claims({ database, holder: name, now }),
      generateToken: (...given) => generate.run(...given),
    })
    return new TestControl(world, database, stream, store, log, assignments, feed, service, generate)
  }

  now(): Date {
    return new Date(this.world.nowMs)
  }

  get deployments(): readonly Deployment[] {
    return [...this.log.state.deployments.values()]
  }

  replicas(phase: Replica['phase']): readonly Replica[] {
    return this.deployments.flatMap(({ replicas }) => replicas.filter((replica) => replica.phase === phase))
  }

  /** Everybody does a bit of what there is to do. */
  async round(): Promise<void> {
    await this.service.reconciler.runOnce()
    for (const machine of this.world.machines.values()) await machine.step(this)
    this.service.prover.look()
    await this.service.prover.whenIdle()
    await this.service.drains.look()
    this.world.nowMs += 1000
  }

  /** Until nothing more happens for a while. */
  async settle(): Promise<void> {
    for (let round = 0, quiet = 0; quiet < 4; round += 1) {
      if (round === 200) throw new Error('It does not settle.')
      const { version } = this.stream
      await this.round()
      quiet = this.stream.version === version ? quiet + 1 : 0
    }
  }

  /** As a gateway that follows the routing and has so many requests open on each replica. */
  async gatewaySays(open: Readonly<Record<string, number>>, routingVersion = this.feed.version) {
    const replicas = this.deployments.flatMap((deployment) =>
      deployment.replicas.map(({ id, generation }) => ({
        replicaId: id,
        generation,
        open: open[id] ?? 0,
        queued: 0,
        ready: true,
      })),
    )
    const report = { routingVersion, activeRequests: 0, queuedRequests: 0, replicas }
    const row = { id: 'gateway-1', url: 'http://gateway', report, reportedAt: this.now() }
    await this.database.queries
      .insert(gateways)
      .values(row)
      .onConflictDoUpdate({ target: gateways.id, set: row })
  }

  async stop(): Promise<void> {
    await this.service.stop()
    await this.stream.stop()
  }
}

function numbered(name: string): IdSource {
  let last = 0
  return {
    next: (prefix) => {
      last += 1
      return `${prefix}-${name}${last}`
    },
  }
}

/** The organisations, each with a project and settings. */
export async function found(database: Database): Promise<void> {
  const at = new Date(Date.UTC(2026, 0, 1))
  for (const organisation of [ours, theirs]) {
    await database.queries
      .insert(organisations)
      .values({ id: organisation, slug: organisation, name: organisation, createdAt: at })
    await database.queries.insert(projects).values({
      id: `project-${organisation}`,
      organisationId: organisation,
      name: 'first',
      title: 'First',
      rateLimit: { requestsPerMinute: null, tokensPerMinute: null },
      createdAt: at,
    })
    await database.queries.insert(settings).values({
      organisationId: organisation,
      currency: 'USD',
      placementPolicy: { regions: null, providers: null },
      requestLogDays: 30,
      eventDays: 30,
      updatedAt: at,
    })
  }
}

export const callerOf = (
  organisation: OrganisationId,
  machine: Caller['machine'] = null,
  signal = new AbortController().signal,
): Caller => ({
  actor: 'owner',
  organisation,
  userId: 'user-1' as UserId,
  keyId: null,
  machine,
  cause: { kind: 'user', id: 'user-1' },
  requestId: 'request-1',
  address: '127.0.0.1',
  headers: {},
  signal,
  logger: testLogger,
  addHeader: () => undefined,
})

/** A wish as the schema hands it over. */
export const wishFor = (organisation: OrganisationId, name: string, replicas = 1) => ({
  name,
  servedAs: name,
  replicas,
  spec: {
    modelId: modelOf(organisation),
    contextTokens: null,
    sessions: 1,
    precision: 'native' as const,
    activations: 'f32' as const,
    target: {},
    replicas: { min: 0, max: 4 },
    policy: { regions: null, providers: null },
    split: null,
  },
})

export const roundTrip = (from: MachineId, to: MachineId, roundTripMs: number): Link => ({
  from,
  to,
  roundTripMs: ms(roundTripMs),
  bytesPerSecond: bytesPerSecond(1e9),
})
