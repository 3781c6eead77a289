import type { HeldStage, StageReport } from './held-stage.ts'
import type { StageAssignment } from './stage-assignment.ts'

export interface StageKeeperParts {
  /** Begins to hold a stage. */
  readonly hold: (assignment: StageAssignment) => HeldStage
  /** Models that stages need from now on. */
  readonly onModels: (fingerprints: ReadonlySet<string>) => void
  /** Stages came or are gone. */
  readonly onChange: () => void
}

const placement = ({ stageId, generation }: StageAssignment): string => `${stageId} ${generation}`

/** Holds the stages that are assigned and no others. */
export class StageKeeper {
  /** By stage and generation: an older one of the same stage may still be on its way out. */
  readonly #held = new Map<string, HeldStage>()
  readonly #leaving = new Map<string, Promise<void>>()
  #assigned: readonly StageAssignment[] = []

  constructor(private readonly parts: StageKeeperParts) {}

  /** Those assigned, whether they can be held already or not. */
  get assigned(): readonly StageAssignment[] {
    return this.#assigned
  }

  get pids(): readonly number[] {
    return [...this.#held.values()].flatMap(({ pids }) => pids)
  }

  /** @param assignments - all there are */
  apply(assignments: readonly StageAssignment[]): void {
    this.#assigned = assignments
    const wanted = new Set(assignments.map(placement))
    for (const [key, stage] of this.#held) if (!wanted.has(key)) this.#release(key, stage)
    for (const assignment of assignments) {
      const key = placement(assignment)
      if (this.#leaving.has(key)) continue
      const held = this.#held.get(key)
      if (held !== undefined) held.update(assignment)
      else if (assignment.wanted === 'run' && !this.#isLeaving(assignment.stageId)) {
        this.#held.set(key, this.parts.hold(assignment))
        this.parts.onChange()
      }
    }
    this.#tellModels()
  }

  /** Those that are on their way out included: their memory is not free yet. */
  reports(): readonly StageReport[] {
    return [...this.#held.values()].map((stage) => stage.report())
  }

  async stop(): Promise<void> {
    this.apply([])
    await Promise.all(this.#leaving.values())
  }

  #isLeaving(stageId: string): boolean {
    return [...this.#leaving.keys()].some((key) => key.startsWith(`${stageId} `))
  }

  #release(key: string, stage: HeldStage): void {
    if (this.#leaving.has(key)) return
    const gone = stage.stop().finally(() => {
      this.#held.delete(key)
      this.#leaving.delete(key)
      this.parts.onChange()
      // What waited for its place, or for its bytes not to be needed any more.
      this.apply(this.#assigned)
    })
    this.#leaving.set(key, gone)
  }

  #tellModels(): void {
    const leaving = [...this.#held.values()].map(({ assignment }) => assignment)
    this.parts.onModels(
      new Set([...this.#assigned, ...leaving].map(({ model: { fingerprint } }) => fingerprint)),
    )
  }
}
