import {
  bytes,
  bytesPerSecond,
  type MachineBenchmark,
  type MachineId,
  type MachineInventory,
} from '@deos/domain'
import type { FleetErrorCode, MachineSoftware } from '@deos/fleet'
import type { VirtualTimers } from '@deos/transport/testing'
import type { Answer, ControlPlane } from './machines-control-plane.ts'

export interface JoinToken {
  readonly id: string
  readonly secretDigest: string
}

/** A computer with a key, and a clock that nobody should rely on. */
export interface Host {
  readonly fingerprint: string
  /** What its clock shows beyond the true time. */
  clockAheadMs: number
  /** A number that stands for what is built in. */
  hardware: number
  software: MachineSoftware
  readonly processes: MachineProcess[]
}

export interface ProcessSurroundings {
  readonly timers: VirtualTimers
  /** Carries a request out, perhaps late, twice or never; likewise the answer. */
  readonly request: (serve: (plane: ControlPlane) => Answer, onAnswer: (answer: Answer) => void) => void
  readonly note: (text: string) => void
}

const BEAT_MS = 2_000
const RETRY_MS = 3_000
const BENCHMARK_MS = 1_500

/** After these a process would only be refused again. */
const final: ReadonlySet<FleetErrorCode> = new Set<FleetErrorCode>([
  'FLEET_INVALID',
  'TOKEN_MISSING',
  'TOKEN_UNKNOWN',
  'TOKEN_EXPIRED',
  'TOKEN_REVOKED',
  'TOKEN_USED_UP',
  'MACHINE_REMOVED',
  'MACHINE_FENCED',
  'MACHINE_VERSION',
  'MACHINE_ORGANISATION',
])

/** What a worker does to be a machine: asks, joins, beats, and sends what it is told is missing. */
export class MachineProcess {
  alive = true
  /** Why it stopped by itself. */
  ended: FleetErrorCode | null = null
  machine: MachineId | null = null
  incarnation = 0
  #sequence = 0
  #nextBeatMs = 0
  #benchmarking = false
  #cancelBeat = () => {}

  constructor(
    readonly name: string,
    readonly host: Host,
    private readonly token: JoinToken | null,
    private readonly around: ProcessSurroundings,
  ) {}

  start(): void {
    this.#ask()
  }

  kill(): void {
    this.alive = false
    this.#cancelBeat()
  }

  /** Says goodbye and does not wait for an answer. */
  leave(): void {
    const { machine, incarnation } = this
    const { fingerprint } = this.host
    if (machine !== null) {
      const command = { type: 'leave', machine, incarnation, reason: 'stopped by the simulation' } as const
      this.around.request(
        (plane) => plane.serve(fingerprint, command),
        () => {},
      )
    }
    this.kill()
  }

  /** Waits by the host's clock, as careless programs do: a jump forward makes it hurry, one back makes it late. */
  clockJumped(): void {
    if (this.alive && this.machine !== null) this.#awaitBeat()
  }

  #ask(): void {
    const { name, host } = this
    this.machine = null
    this.#cancelBeat()
    this.#call(
      (plane) => plane.incarnationOf(host.fingerprint, name),
      (answer) => {
        if ('incarnation' in answer) this.#join(answer.incarnation)
      },
    )
  }

  #join(after: number): void {
    const { fingerprint, software } = this.host
    const location = { region: 'sim', provider: 'sim' }
    const { name: process, token } = this
    const command = {
      type: 'join',
      fingerprint,
      process,
      after,
      token,
      name: 'sim',
      location,
      software,
    } as const
    this.#call(
      (plane) => plane.serve(fingerprint, command),
      (answer) => {
        if ('refusal' in answer) {
          if (answer.refusal.code === 'JOIN_STALE') this.#ask()
          else this.#refused(answer.refusal.code)
        } else if ('machine' in answer) {
          this.machine = answer.machine.id
          this.incarnation = answer.machine.incarnation
          this.#sequence = 0
          this.#nextBeatMs = this.#ownNowMs
          this.#awaitBeat()
        }
      },
    )
  }

  get #ownNowMs(): number {
    return this.around.timers.now() + this.host.clockAheadMs
  }

  #awaitBeat(): void {
    this.#cancelBeat()
    this.#cancelBeat = this.around.timers.after(this.#nextBeatMs - this.#ownNowMs, () => this.#beat())
  }

  #beat(): void {
    for (let burst = 0; burst < 5 && this.#nextBeatMs <= this.#ownNowMs; burst++) {
      this.#sendBeat()
      this.#nextBeatMs += BEAT_MS
    }
    this.#nextBeatMs = Math.max(this.#nextBeatMs, this.#ownNowMs)
    this.#awaitBeat()
  }

  #sendBeat(): void {
    const { incarnation, name } = this
    const machine = this.machine!
    const beat = { machine, incarnation, sequence: this.#sequence++ }
    const { fingerprint } = this.host
    this.around.request(
      (plane) => plane.heartbeat(fingerprint, name, beat),
      (answer) => {
        if (!this.alive || this.machine !== machine || this.incarnation !== incarnation) return
        if ('refusal' in answer) this.#refused(answer.refusal.code)
        else if ('missing' in answer) this.#report(answer.missing)
      },
    )
  }

  #report(missing: 'inventory' | 'benchmark' | null): void {
    const { incarnation, host } = this
    const from = { machine: this.machine!, incarnation }
    if (missing === 'inventory') {
      const command = { type: 'reportInventory', ...from, inventory: inventoryOf(host) } as const
      this.around.request(
        (plane) => plane.serve(host.fingerprint, command),
        () => {},
      )
    }
    if (missing !== 'benchmark' || this.#benchmarking) return
    this.#benchmarking = true
    this.around.timers.after(BENCHMARK_MS, () => {
      this.#benchmarking = false
      if (!this.alive || this.machine === null) return
      const command = { type: 'reportBenchmark', ...from, benchmark: benchmarkOf(host) } as const
      this.around.request(
        (plane) => plane.serve(host.fingerprint, command),
        () => {},
      )
    })
  }

  #refused(code: FleetErrorCode): void {
    if (!final.has(code)) {
      this.#ask()
      return
    }
    this.around.note(`${this.name} stops: ${code}`)
    this.ended = code
    this.kill()
  }

  /** Asks until the first answer. */
  #call(serve: (plane: ControlPlane) => Answer, onAnswer: (answer: Answer) => void): void {
    let answered = false
    const send = (): void => {
      if (answered || !this.alive) return
      this.around.request(serve, (answer) => {
        if (answered || !this.alive) return
        answered = true
        onAnswer(answer)
      })
      this.around.timers.after(RETRY_MS, send)
    }
    send()
  }
}

const inventoryOf = ({ hardware }: Host): MachineInventory => ({
  hostname: 'sim',
  platform: 'linux',
  architecture: 'x64',
  cpuModel: `CPU of year ${hardware}`,
  cpuCores: 4,
  memoryBytes: bytes(16e9),
  diskFreeBytes: bytes(1e12),
  devices: [{ name: 'CPU', description: '', kind: 'cpu', memoryBytes: bytes(16e9) }],
})

/** Some hardware measures nonsense. */
const benchmarkOf = ({ hardware }: Host): MachineBenchmark => ({
  devices: [
    {
      device: 'CPU',
      weightBytesPerSecond: bytesPerSecond(hardware % 11 === 0 ? Number.NaN : 2e10),
      flopsPerSecond: { F16: 1e11 },
      hostBytesPerSecond: null,
    },
  ],
  diskReadBytesPerSecond: bytesPerSecond(1e9),
})
