import { kindsInOrder } from './machine-kinds.ts'
import { type FleetCounters, SimulatedMachine } from './simulated-machine.ts'
import type { StagePace } from './simulated-stage.ts'

export interface FleetOptions {
  readonly url: string
  readonly joinToken: string
  readonly version: string
  readonly machines: number
  /** Machines that join at once. */
  readonly concurrency: number
  readonly pace: StagePace
  /** What every ring answers, again and again. */
  readonly token: number
  readonly linksEveryMs: number
}

export interface RunningStage {
  readonly machineId: string
  readonly deploymentId: string
  readonly ring: string
  readonly ringSecret: string
  readonly position: number
  readonly stages: number
  readonly address: string | null
}

const regions = ['eu-north', 'eu-west', 'us-east', 'us-west'] as const
const providers = ['alpha', 'beta'] as const

/** Many simulated machines in one process. */
export class FleetPart {
  readonly #machines = new Map<string, SimulatedMachine>()
  readonly #counters: FleetCounters = { heartbeats: 0, failed: 0, problems: [] }

  readonly calls = {
    join: (options: FleetOptions) => this.#join(options),
    kill: (machines: readonly string[]) => this.#kill(machines),
    stages: () => this.#stages(),
    counters: () => this.#counters,
  }

  /** All join, beat from then on, and are measured. */
  async #join({ machines, concurrency, ...options }: FleetOptions): Promise<{ readonly machines: number }> {
    const kinds = kindsInOrder(machines).entries()
    const joinSome = async () => {
      for (const [index, kind] of kinds) {
        const machine = new SimulatedMachine(
          {
            ...{ ...options, kind, name: `sim-${String(index).padStart(4, '0')}` },
            location: {
              region: regions[Math.floor((index * regions.length) / machines)]!,
              provider: providers[index % providers.length]!,
            },
          },
          this.#counters,
        )
        await machine.join()
        this.#machines.set(machine.id!, machine)
        machine.run()
      }
    }
    await Promise.all(Array.from({ length: concurrency }, joinSome))
    return { machines: this.#machines.size }
  }

  async #kill(ids: readonly string[]): Promise<void> {
    const gone = ids.map((id) => this.#machines.get(id)!)
    for (const id of ids) this.#machines.delete(id)
    await Promise.all(gone.map((machine) => machine.kill()))
  }

  #stages(): readonly RunningStage[] {
    return [...this.#machines].flatMap(([machineId, machine]) =>
      machine.stages.map(({ assignment: { deploymentId, ring, ringSecret, position, stages }, address }) => ({
        ...{ machineId, deploymentId, ring, ringSecret, position, stages, address },
      })),
    )
  }
}
