import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import {
  bytes,
  bytesPerSecond,
  type MachineBenchmark,
  type MachineId,
  type MachineInventory,
  machineId,
  type OrganisationId,
  organisationId,
  type PlacedStage,
  type StageId,
  tokens,
} from '@deos/domain'
import type { FleetEvent, FleetState } from '@deos/fleet'
import { systemIds } from '@deos/service'
import { VirtualTimers } from '@deos/transport/testing'
import type { Database } from '../../database/database.ts'
import { testLogger } from '../../database/testing/databases.ts'
import { EventSourced } from '../../events/event-sourced.ts'
import { EventStore } from '../../events/event-store.ts'
import type { Caller } from '../../http/caller.ts'
import { digestOf } from '../../http/secrets.ts'
import { fleetStream } from '../fleet-stream.ts'
import { machineHandlers, workerHandlers } from '../handlers.ts'
import type { StageReport } from '../machine-reports.ts'
import { defaultUsableShare, MachineService, type MachineServiceParts } from '../machine-service.ts'
import type { HeldStage, PlacedStages } from '../placed-stages.ts'

export const acme = organisationId('acme')
export const umbrella = organisationId('umbrella')

/** Time for all control planes of a test; it passes when told to. */
export class TestClock {
  nowMs = 1_700_000_000_000
  readonly now = (): Date => new Date(this.nowMs)
}

/** Where deployments would have placed stages. */
export class TestPlacement implements PlacedStages {
  readonly stages: (PlacedStage & HeldStage)[] = []

  all = (): readonly PlacedStage[] => this.stages
  of = (machine: MachineId): readonly HeldStage[] => this.stages.filter((stage) => stage.machine === machine)
  find = (id: StageId) => this.stages.find(({ stageId }) => stageId === id) ?? null

  place(machine: MachineId, id: string): void {
    this.stages.push({
      id: id as StageId,
      stageId: id as StageId,
      replicaId: 'replica-1' as HeldStage['replicaId'],
      deploymentId: 'deployment-1' as HeldStage['deploymentId'],
      machine,
      device: 'CPU',
      layers: { first: 0, end: 4 },
      weightBytes: bytes(1e9),
      kvBytes: bytes(1e8),
    })
  }

  clear(): void {
    this.stages.length = 0
  }
}

export interface StageCall {
  readonly machine: MachineId
  readonly stages: readonly StageReport[]
  readonly assignmentsVersion: number
}

/** One control plane's machines, over a database that others may share. */
export class TestPlane {
  readonly stageCalls: StageCall[] = []
  assignmentsVersion = 0
  /** Thrown by the next call about stages. */
  stageTrouble: Error | null = null

  private constructor(
    readonly database: Database,
    readonly clock: TestClock,
    readonly placement: TestPlacement,
    readonly fleet: EventSourced<FleetState, FleetEvent>,
    readonly service: MachineService,
    readonly handlers: ReturnType<typeof machineHandlers>,
    readonly worker: ReturnType<typeof workerHandlers>,
  ) {}

  static async open(
    database: Database,
    clock: TestClock,
    placement = new TestPlacement(),
  ): Promise<TestPlane> {
    const { now } = clock
    const store = new EventStore(database)
    const fleet = new EventSourced(fleetStream, { database, store, logger: testLogger })
    await fleet.start()
    const calls: { plane: TestPlane | null } = { plane: null }
    const service = new MachineService(
      {
        self: systemIds.next('control-plane'),
        heartbeatMs: 1_000,
        leaseMs: 4_000,
        heartbeatsPerSecond: 250,
        graceMs: 4_000,
        publicUrl: 'https://deos.example',
        versions: { version: '1.4.0', protocol: { min: 2, max: 3 }, olderMinors: 1 },
        usableShare: defaultUsableShare,
      },
      {
        fleet,
        database,
        secrets: { get: async () => Buffer.alloc(32, 9) },
        placed: placement,
        assignmentsVersion: () => calls.plane!.assignmentsVersion,
        onStageReports: (...call) => calls.plane!.#stagesReported(...call),
        now,
        // They stand still: tests call what would be repeated.
        timers: new VirtualTimers(),
        ids: systemIds,
        logger: testLogger,
      },
    )
    await service.start()
    const handlers = machineHandlers({ service, database, events: store, placed: placement, now })
    calls.plane = new TestPlane(database, clock, placement, fleet, service, handlers, workerHandlers(service))
    return calls.plane
  }

  async stop(): Promise<void> {
    await this.service.stop()
    await this.fleet.stop()
  }

  /** As when the process is killed. */
  async crash(): Promise<void> {
    await this.fleet.stop()
  }

  async createToken(
    organisation: OrganisationId,
    limits: { readonly maxMachines?: number; readonly validHours?: number } = {},
    location: { readonly region: string; readonly provider: string } | null = null,
  ) {
    const { maxMachines = null, validHours = 24 } = limits
    return this.handlers.joinTokens.create(
      request({ body: { name: 'Workshop', location, maxMachines, validHours } }),
      operator(organisation),
    )
  }

  /** Names of the organisation's machines with their states, as the API lists them. */
  async listed(organisation: OrganisationId): Promise<readonly string[]> {
    const query = { limit: 200 }
    const { items } = await this.handlers.machines.list(request({ query }), operator(organisation))
    return items.map(({ name, state }) => `${name} ${state}`)
  }

  async show(machine: MachineId, organisation = acme) {
    return this.handlers.machines.show(request({ params: { machine } }), operator(organisation))
  }

  async #stagesReported(...call: Parameters<MachineServiceParts['onStageReports']>): Promise<void> {
    const trouble = this.stageTrouble
    this.stageTrouble = null
    if (trouble !== null) throw trouble
    const [machine, , stages, , assignmentsVersion] = call
    this.stageCalls.push({ machine, stages, assignmentsVersion })
  }
}

/** A request as the server hands it over once it has checked it. */
export const request = <P, Q, B>(given: {
  readonly params?: P
  readonly query?: Q
  readonly body?: B
}): {
  params: P
  query: Q
  body: B
  idempotencyKey: null
  lastEventId: null
} => ({
  params: (given.params ?? {}) as P,
  query: (given.query ?? null) as Q,
  body: (given.body ?? null) as B,
  idempotencyKey: null,
  lastEventId: null,
})

const nobody: Caller = {
  actor: 'anonymous',
  organisation: null,
  userId: null,
  keyId: null,
  machine: null,
  cause: { kind: 'system' },
  requestId: 'req-1',
  address: '127.0.0.1',
  headers: {},
  signal: new AbortController().signal,
  logger: testLogger,
  addHeader: () => {},
}

export const operator = (organisation: OrganisationId): Caller => ({
  ...nobody,
  actor: 'owner',
  organisation,
  cause: { kind: 'user', id: 'user-1' },
})

type Worker = ReturnType<typeof workerHandlers>
type Joined = Awaited<ReturnType<Worker['join']>>
type HeartbeatBody = Parameters<Worker['heartbeat']>[0]['body']
type JoinBody = Parameters<Worker['join']>[0]['body']

const newKeys = () => generateKeyPairSync('ed25519')

/** A key, and the process that holds it now. */
export class TestMachine {
  readonly #keys: ReturnType<typeof newKeys>
  readonly publicKey: string
  process = `process-${randomBytes(8).toString('hex')}`
  joined: Joined | null = null
  sequence = 0

  constructor(
    public token: string | null,
    readonly name: string | null = 'box',
    keys = newKeys(),
  ) {
    this.#keys = keys
    this.publicKey = this.#keys.publicKey.export({ format: 'jwk' }).x!
  }

  get id(): MachineId {
    return machineId(this.joined!.machineId)
  }

  /** Another process with the same key. */
  twin(): TestMachine {
    return new TestMachine(this.token, this.name, this.#keys)
  }

  /** The same key in a new process. */
  restart(): void {
    this.process = `process-${randomBytes(8).toString('hex')}`
    this.sequence = 0
    this.joined = null
  }

  sign(text: string): string {
    return sign(null, Buffer.from(text), this.#keys.privateKey).toString('base64url')
  }

  async joinBody(plane: TestPlane, changes: Partial<JoinBody> = {}): Promise<JoinBody> {
    const { publicKey } = this
    const { challenge, incarnation } = await plane.worker.challenge(request({ body: { publicKey } }), nobody)
    return {
      publicKey,
      challenge,
      signature: this.sign(challenge),
      process: this.process,
      after: incarnation,
      token: this.token,
      name: this.name,
      location: null,
      version: '1.4.0',
      protocols: { min: 3, max: 3 },
      linkAddress: '10.0.0.7:7400',
      ...changes,
    }
  }

  async join(plane: TestPlane, changes: Partial<JoinBody> = {}): Promise<Joined> {
    this.joined = await this.send(plane, await this.joinBody(plane, changes))
    return this.joined
  }

  async send(plane: TestPlane, body: JoinBody): Promise<Joined> {
    return plane.worker.join(request({ body }), nobody)
  }

  /** As the server finds it by the credential. */
  async caller(plane: TestPlane): Promise<Caller> {
    const holder = await plane.service.credentialOf(digestOf(this.joined!.credential))
    if (holder === null) throw new Error('The credential is unknown.')
    const { machine: id, organisation, incarnation } = holder
    const cause = { kind: 'machine', id } as const
    return { ...nobody, actor: 'machine', organisation, machine: { id, incarnation }, cause }
  }

  async beat(plane: TestPlane, changes: Partial<HeartbeatBody> = {}) {
    this.sequence += 1
    const body: HeartbeatBody = {
      incarnation: this.joined!.incarnation,
      sequence: this.sequence,
      assignmentsVersion: 0,
      load: { cpuFraction: 0.5, memoryUsedBytes: bytes(1e9), devices: [] },
      stages: [],
      leaving: false,
      ...changes,
    }
    return plane.worker.heartbeat(request({ body }), await this.caller(plane))
  }

  /** Sends what it owes. */
  async report(plane: TestPlane): Promise<void> {
    const caller = await this.caller(plane)
    const { incarnation } = this.joined!
    await plane.worker.inventory(request({ body: { incarnation, inventory } }), caller)
    await plane.worker.benchmark(request({ body: { incarnation, benchmark } }), caller)
  }

  async leave(plane: TestPlane): Promise<void> {
    const { incarnation } = this.joined!
    await plane.worker.leave(request({ body: { incarnation } }), await this.caller(plane))
  }

  /** Joined, measured, and heard of. */
  async becomeReady(plane: TestPlane): Promise<this> {
    await this.join(plane)
    await this.report(plane)
    await this.beat(plane)
    return this
  }
}

export const stageReport = (id: string, changes: Partial<StageReport> = {}): StageReport => ({
  stageId: id as StageId,
  generation: 1,
  state: 'loading',
  loadedFraction: 0,
  linkAddress: null,
  nextRoundTripMs: null,
  nextPath: null,
  problem: null,
  activeSessions: 0,
  kvUsedTokens: tokens(0),
  busyFraction: 0,
  generatedTokens: tokens(0),
  ...changes,
})

const inventory: MachineInventory = {
  hostname: 'box',
  platform: 'linux',
  architecture: 'x64',
  cpuModel: 'Some CPU',
  cpuCores: 8,
  memoryBytes: bytes(64e9),
  diskFreeBytes: bytes(1e12),
  devices: [{ name: 'CPU', description: 'Some CPU', kind: 'cpu', memoryBytes: bytes(64e9) }],
}

const benchmark: MachineBenchmark = {
  devices: [
    {
      device: 'CPU',
      weightBytesPerSecond: bytesPerSecond(25e9),
      flopsPerSecond: { F16: 2e11 },
      hostBytesPerSecond: null,
    },
  ],
  diskReadBytesPerSecond: bytesPerSecond(2e9),
}
