import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { bytes, bytesPerSecond, describeError, ms } from '@deos/domain'
import { PROTOCOL_VERSION } from '@deos/protocol'
import { type ApiClient, apiPrefix, connect } from '@deos/sdk'
import { Client } from 'undici'
import { benchmarkOf, inventoryOf, type MachineKind } from './machine-kinds.ts'
import { SimulatedStage, type SimulatedStageOptions, type StageAssignment } from './simulated-stage.ts'

type Heartbeat = Parameters<ApiClient['worker']['heartbeat']>[0]['body']
type Joined = Awaited<ReturnType<ApiClient['worker']['join']>>
type Assignments = Awaited<ReturnType<ApiClient['worker']['assignments']>>
type MissingReport = Joined['missingReport']

export interface SimulatedMachineOptions extends SimulatedStageOptions {
  readonly url: string
  readonly joinToken: string
  readonly version: string
  readonly name: string
  readonly kind: MachineKind
  readonly location: { readonly region: string; readonly provider: string }
  /** Between measurements of its links, as agents do it. */
  readonly linksEveryMs: number
}

/** What happened to many machines together. */
export interface FleetCounters {
  heartbeats: number
  failed: number
  /** What went wrong first, for people. */
  readonly problems: string[]
}

const mostProblems = 20

/** A machine as its agent is to the control plane: a key, heartbeats, reports, and stages that are there at once. */
export class SimulatedMachine {
  readonly #client: Client
  readonly #stop = new AbortController()
  readonly #privateKey: KeyObject
  readonly #publicKey: string
  readonly #stages = new Map<string, SimulatedStage>()
  #joined: Joined | null = null
  #api: ApiClient
  #sequence = 0
  #seen = -1
  #refreshing = false
  #reporting = false
  /** Ends the wait between heartbeats. */
  #wake: () => void = () => undefined

  constructor(
    private readonly options: SimulatedMachineOptions,
    private readonly counters: FleetCounters,
  ) {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    this.#privateKey = privateKey
    this.#publicKey = publicKey.export({ format: 'jwk' }).x!
    this.#client = new Client(options.url, { pipelining: 1 })
    this.#api = connect({ url: options.url })
  }

  get id(): string | null {
    return this.#joined?.machineId ?? null
  }

  get stages(): readonly SimulatedStage[] {
    return [...this.#stages.values()]
  }

  /** Proves its key; its first heartbeat asks for what else is to be known of it. */
  async join(): Promise<void> {
    const { url, joinToken, version, name, location } = this.options
    const publicKey = this.#publicKey
    const { challenge, incarnation: after } = await this.#api.worker.challenge({ body: { publicKey } })
    const signature = sign(null, Buffer.from(challenge), this.#privateKey).toString('base64url')
    this.#joined = await this.#api.worker.join({
      body: {
        ...{ publicKey, challenge, signature, after, token: joinToken, name, location, version },
        process: randomBytes(12).toString('hex'),
        protocols: { min: PROTOCOL_VERSION, max: PROTOCOL_VERSION },
        linkAddress: '127.0.0.1:9',
      },
    })
    this.#api = connect({ url, token: this.#joined.credential })
    this.#sequence = 0
    this.#seen = -1
  }

  /** Beats, follows its assignments and measures links until it is killed. */
  run(): void {
    void this.#untilKilled(() => this.#beat())
    void this.#untilKilled(() => this.#follow())
    void this.#untilKilled(() => this.#measureLinks())
  }

  /** Is gone from one moment to the next. */
  async kill(): Promise<void> {
    this.#stop.abort()
    this.#wake()
    await Promise.all([this.#client.destroy(), ...this.stages.map((stage) => stage.stop())])
    this.#stages.clear()
  }

  async #untilKilled(work: () => Promise<void>): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await work()
      } catch (error) {
        if (this.#stop.signal.aborted) return
        this.#failed(error)
        await sleep(1000)
      }
    }
  }

  #failed(error: unknown): void {
    const { counters } = this
    counters.failed += 1
    if (counters.problems.length < mostProblems) {
      counters.problems.push(`${this.options.name}: ${describeError(error as Error)}`)
    }
  }

  async #beat(): Promise<void> {
    const path = `${apiPrefix}/worker/heartbeats`
    let spread = Math.random()
    while (!this.#stop.signal.aborted) {
      const body = JSON.stringify(this.#heartbeat())
      const headers = {
        ...{ 'content-type': 'application/json', authorization: `Bearer ${this.#joined!.credential}` },
      }
      const answer = await this.#client.request({ method: 'POST', path, headers, body })
      const text = await answer.body.text()
      if (answer.statusCode === 401 || answer.statusCode === 409) await this.join()
      if (answer.statusCode !== 200) throw new Error(`A heartbeat was answered ${answer.statusCode}: ${text}`)
      this.counters.heartbeats += 1
      const { lease, assignmentsVersion, missingReport } = JSON.parse(text) as {
        lease: Joined['lease']
        assignmentsVersion: number
        missingReport: MissingReport
      }
      if (assignmentsVersion > this.#seen) void this.#refresh()
      if (missingReport !== null) void this.#provide(missingReport).catch((error) => this.#failed(error))
      // Like an agent's, its beats have no common time with those of others.
      if (!this.stages.some((stage) => stage.hasNews)) await this.#pause(lease.heartbeatMs * spread)
      spread = 1
    }
  }

  #heartbeat(): Heartbeat {
    const { kind } = this.options
    this.#sequence += 1
    const promisedBytes = this.stages.reduce(
      (sum, { assignment: { weightBytes, kvBytes } }) => sum + weightBytes + kvBytes,
      0,
    )
    const { devices } = inventoryOf(kind, this.options.name)
    return {
      incarnation: this.#joined!.incarnation,
      sequence: this.#sequence,
      assignmentsVersion: Math.max(0, this.#seen),
      load: {
        cpuFraction: Math.random() / 2,
        memoryUsedBytes: bytes(Math.floor(6e9 + Math.random() * 2e9)),
        devices: devices.map(({ name, memoryBytes }) => ({
          ...{ device: name, memoryBytes, promisedBytes: bytes(name === 'CPU' ? 0 : promisedBytes) },
        })),
      },
      stages: this.stages.map((stage) => stage.report()),
      leaving: false,
    }
  }

  /** The stream usually is first. */
  async #refresh(): Promise<void> {
    if (this.#refreshing) return
    this.#refreshing = true
    try {
      this.#see(await this.#api.worker.assignments({ signal: this.#stop.signal }))
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#failed(error)
    } finally {
      this.#refreshing = false
    }
  }

  async #follow(): Promise<void> {
    for await (const { data } of this.#api.worker.followAssignments({ signal: this.#stop.signal })) {
      this.#see(data)
    }
  }

  #see({ version, assignments }: Assignments): void {
    if (version <= this.#seen || this.#stop.signal.aborted) return
    this.#seen = version
    const wanted = new Map(assignments.map((assignment) => [keyOf(assignment), assignment]))
    for (const [key, stage] of this.#stages) {
      const assignment = wanted.get(key)
      if (assignment !== undefined) stage.update(assignment)
      else {
        this.#stages.delete(key)
        void stage.stop()
      }
    }
    for (const [key, assignment] of wanted) if (!this.#stages.has(key)) this.#load(key, assignment)
    this.#wake()
  }

  #load(key: string, assignment: StageAssignment): void {
    const stage = new SimulatedStage(assignment, this.options)
    this.#stages.set(key, stage)
    stage.start().then(
      () => this.#wake(),
      (error) => this.#failed(error),
    )
  }

  async #provide(missing: MissingReport): Promise<void> {
    if (missing === null || this.#reporting) return
    this.#reporting = true
    const { kind, name } = this.options
    const { incarnation } = this.#joined!
    try {
      if (missing === 'inventory') {
        await this.#api.worker.inventory({ body: { incarnation, inventory: inventoryOf(kind, name) } })
      }
      await this.#api.worker.benchmark({ body: { incarnation, benchmark: benchmarkOf(kind) } })
    } finally {
      this.#reporting = false
    }
  }

  async #measureLinks(): Promise<void> {
    const { signal } = this.#stop
    const { linksEveryMs } = this.options
    const { incarnation } = this.#joined!
    await sleep(Math.random() * linksEveryMs, null, { signal })
    for (;;) {
      const { peers } = await this.#api.worker.peers({ signal })
      const links = peers.map(({ machineId }) => ({
        ...{ to: machineId, roundTripMs: ms(0.2 + Math.random()) },
        bytesPerSecond: bytesPerSecond(1e9 * (1 + Math.random())),
      }))
      await this.#api.worker.links({ body: { incarnation, links }, signal })
      await sleep(linksEveryMs, null, { signal })
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(done, delayMs)
      this.#wake = done
    })
  }
}

/** A stage of another generation is another stage. */
const keyOf = ({ stageId, generation }: StageAssignment): string => `${stageId} ${generation}`
