import type { ReplicaReport } from '@deos/planner'

/** A replica that stands for those that are like it but for their machines. */
export interface ReplicaKind {
  readonly replica: ReplicaReport
  /** Its number in the plan. */
  readonly at: number
  /** How many there are of it. */
  readonly count: number
}

/** Replicas once of each kind; in order, those that compute prompts and those that answer in turn, the busiest first. */
export function alikeReplicas(replicas: readonly ReplicaReport[]): readonly ReplicaKind[] {
  const kinds = new Map<string, ReplicaKind>()
  for (const [at, replica] of replicas.entries()) {
    const { role, batch, requestsPerS, stages } = replica
    const held = stages.map((stage) => [
      ...[stage.layers.first, stage.layers.end, stage.accelerator, stage.site, stage.pricePerHour],
      ...[stage.tensorParallel, stage.expertParallel, stage.contextParallel, stage.offload?.share ?? 0],
    ])
    const key = JSON.stringify([role, batch, requestsPerS.toPrecision(3), held])
    const known = kinds.get(key)
    kinds.set(key, known === undefined ? { replica, at, count: 1 } : { ...known, count: known.count + 1 })
  }
  const carries = ({ replica, count }: ReplicaKind) => replica.share * count
  const ranked = [...kinds.values()].sort((a, b) => carries(b) - carries(a) || a.at - b.at)
  const place = new Map<ReplicaKind, number>()
  const seen = new Map<ReplicaReport['role'], number>()
  for (const kind of ranked) {
    const before = seen.get(kind.replica.role) ?? 0
    place.set(kind, before)
    seen.set(kind.replica.role, before + 1)
  }
  return ranked.sort((a, b) => place.get(a)! - place.get(b)! || a.at - b.at)
}

/** ` and 3 alike`, or nothing. */
export const andAlike = ({ count }: ReplicaKind): string => (count === 1 ? '' : ` and ${count - 1} alike`)
