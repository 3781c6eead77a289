import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  bytes,
  bytesPerSecond,
  type DeviceInventory,
  type MachineBenchmark,
  type MachineInventory,
} from '@deos/domain'
import { PROTOCOL_VERSION } from '@deos/protocol'
import { type ApiClient, ApiError, connect, type StageAssignment } from '@deos/sdk'
import { SimulatedStage } from '../../bench/src/control-plane/simulated-stage.ts'

type Joined = Awaited<ReturnType<ApiClient['worker']['join']>>
type Assignments = Awaited<ReturnType<ApiClient['worker']['assignments']>>

export interface SimulatedMachineOptions {
  readonly name: string
  readonly joinToken: string
  readonly version: string
  readonly memoryBytes: number
  readonly heartbeatMs: number
  /** Where it goes when the control plane it talks to cannot be reached. */
  readonly otherThan: (url: string) => string
  /** All that it is to hold, whenever it sees something new. */
  readonly onAssignments: (machine: SimulatedMachine, assignments: readonly StageAssignment[]) => void
}

/** Every ring of simulated stages answers with it. */
const token = 267
const pace = { tickMs: 50, probeIntervalMs: 2_000, linkHeartbeatMs: 1_000 } as const

/** A stage of another generation is another stage. */
const keyOf = ({ stageId, generation }: StageAssignment): string => `${stageId} ${generation}`

/** A machine as its agent is to the control planes, with stages that are there at once and compute in no time. */
export class SimulatedMachine {
  /** The longest time that may have passed between two heartbeats that were answered. */
  longestSilenceMs = 0
  /** How often it went to another control plane. */
  moves = 0
  readonly #options: SimulatedMachineOptions
  readonly #privateKey: KeyObject
  readonly #publicKey: string
  readonly #stages = new Map<string, SimulatedStage>()
  readonly #stop = new AbortController()
  #url: string
  #api: ApiClient
  #joined: Joined | null = null
  #sequence = 0
  #seen = -1
  #lastSentAtMs: number | null = null
  /** Ends the stream of assignments of a control plane that it left. */
  #following = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  constructor(url: string, options: SimulatedMachineOptions) {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    this.#options = options
    this.#url = url
    this.#api = connect({ url })
    this.#privateKey = privateKey
    this.#publicKey = publicKey.export({ format: 'jwk' }).x!
  }

  get id(): string {
    return this.#joined!.machineId
  }

  get name(): string {
    return this.#options.name
  }

  get credential(): string {
    return this.#joined!.credential
  }

  get memoryBytes(): number {
    return this.#options.memoryBytes
  }

  get url(): string {
    return this.#url
  }

  /** Proves its key, beats from then on at whichever control plane answers, and says what it is. */
  async join(): Promise<void> {
    const { joinToken, version, name } = this.#options
    const publicKey = this.#publicKey
    const { challenge, incarnation: after } = await this.#api.worker.challenge({ body: { publicKey } })
    const signature = sign(null, Buffer.from(challenge), this.#privateKey).toString('base64url')
    this.#joined = await this.#api.worker.join({
      body: {
        ...{ publicKey, challenge, signature, after, token: joinToken, name, version },
        location: { region: 'eu-north', provider: 'test' },
        process: randomBytes(12).toString('hex'),
        protocols: { min: PROTOCOL_VERSION, max: PROTOCOL_VERSION },
        linkAddress: '127.0.0.1:9',
      },
    })
    const { incarnation } = this.#joined
    this.#api = connect({ url: this.#url, token: this.credential })
    this.#running = Promise.all([this.#beat(), this.#follow()])
    await this.#api.worker.inventory({
      body: { incarnation, inventory: inventoryOf(name, this.memoryBytes) },
    })
    await this.#api.worker.benchmark({ body: { incarnation, benchmark } })
  }

  /** Is gone from one moment to the next. */
  async stop(): Promise<void> {
    this.#stop.abort()
    this.#following.abort()
    await this.#running
    await Promise.all([...this.#stages.values()].map((stage) => stage.stop()))
  }

  async #beat(): Promise<void> {
    const { heartbeatMs } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      const sentAtMs = performance.now()
      try {
        const { assignmentsVersion } = await this.#api.worker.heartbeat({ body: this.#heartbeat(), signal })
        this.#answered(sentAtMs)
        if (assignmentsVersion > this.#seen) this.#see(await this.#api.worker.assignments({ signal }))
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof ApiError) || !error.retriable) throw error
        this.#move()
        await sleep(20)
        continue
      }
      const isUrgent = [...this.#stages.values()].some((stage) => stage.hasNews)
      await sleep(isUrgent ? 20 : heartbeatMs, null, { signal }).catch(() => {})
    }
  }

  #answered(sentAtMs: number): void {
    const silenceMs = performance.now() - (this.#lastSentAtMs ?? sentAtMs)
    this.longestSilenceMs = Math.max(this.longestSilenceMs, silenceMs)
    this.#lastSentAtMs = sentAtMs
  }

  #heartbeat(): Parameters<ApiClient['worker']['heartbeat']>[0]['body'] {
    const stages = [...this.#stages.values()]
    const promisedBytes = stages.reduce((sum, { assignment }) => sum + heldBytes(assignment), 0)
    this.#sequence += 1
    return {
      incarnation: this.#joined!.incarnation,
      sequence: this.#sequence,
      assignmentsVersion: Math.max(0, this.#seen),
      load: {
        cpuFraction: 0.1,
        memoryUsedBytes: bytes(promisedBytes),
        devices: [
          { device: 'CPU', memoryBytes: bytes(this.memoryBytes), promisedBytes: bytes(promisedBytes) },
        ],
      },
      stages: stages.map((stage) => stage.report()),
      leaving: false,
    }
  }

  #move(): void {
    const { otherThan } = this.#options
    this.moves += 1
    this.#url = otherThan(this.#url)
    this.#api = connect({ url: this.#url, token: this.credential })
    this.#following.abort()
    this.#following = new AbortController()
  }

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const { signal } = this.#following
      try {
        for await (const { data } of this.#api.worker.followAssignments({ signal })) this.#see(data)
      } catch {
        // Heartbeats say that there is something new as well, and find out which control plane lives.
        await sleep(100)
      }
    }
  }

  #see({ version, assignments }: Assignments): void {
    if (version <= this.#seen || this.#stop.signal.aborted) return
    this.#seen = version
    this.#options.onAssignments(this, assignments)
    const wanted = new Map(assignments.map((assignment) => [keyOf(assignment), assignment]))
    for (const [key, stage] of this.#stages) {
      const assignment = wanted.get(key)
      if (assignment !== undefined) stage.update(assignment)
      else {
        this.#stages.delete(key)
        void stage.stop()
      }
    }
    for (const [key, assignment] of wanted) {
      if (this.#stages.has(key)) continue
      const stage = new SimulatedStage(assignment, { pace, token })
      this.#stages.set(key, stage)
      void stage.start()
    }
  }
}

export const heldBytes = ({ weightBytes, kvBytes }: StageAssignment): number => weightBytes + kvBytes

function inventoryOf(hostname: string, memoryBytes: number): MachineInventory {
  const cpu: DeviceInventory = {
    name: 'CPU',
    description: 'Some CPU',
    kind: 'cpu',
    memoryBytes: bytes(memoryBytes),
  }
  return {
    ...{ hostname, platform: 'linux', architecture: 'x64', cpuModel: 'Some CPU', cpuCores: 8 },
    ...{ memoryBytes: cpu.memoryBytes, diskFreeBytes: bytes(1e12), devices: [cpu] },
  }
}

const benchmark: MachineBenchmark = {
  devices: [
    {
      device: 'CPU',
      weightBytesPerSecond: bytesPerSecond(25e9),
      flopsPerSecond: { F16: 2e11, BF16: 2e11, F32: 1e11 },
      hostBytesPerSecond: null,
    },
  ],
  diskReadBytesPerSecond: bytesPerSecond(2e9),
}
