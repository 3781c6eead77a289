import type { Group } from './groups.ts'
import type { PipelineState, Role } from './pipeline.ts'
import type { ServingWorkload } from './workload.ts'

/** A group that serves, and at what rate. */
export interface Assigned {
  readonly group: Group
  readonly role: Role
  readonly state: PipelineState
}

export interface Assignment {
  readonly assigned: readonly Assigned[]
  /** Requests that are served; below the load if the groups bear no more. */
  readonly requestsPerS: number
  readonly ttftMs: number
  readonly tpotMs: number
  readonly pricePerHour: number
  /** Whether load and targets are met. */
  readonly feasible: boolean
  /** The more the better; comparable among feasible assignments of one workload. */
  readonly score: number
}

const mostSubsets = 64

/** Which groups serve, and how the load is divided among them: in proportion to what they bear. */
export function assign(
  groups: readonly Group[],
  workload: ServingWorkload,
  role: Role = 'together',
): Assignment {
  const { goal, requestsPerS } = workload
  const bears = groups.reduce((sum, { form }) => sum + form.most.requestsPerS, 0)
  if (requestsPerS !== null && bears < requestsPerS * (1 - 1e-9)) return loaded(groups, bears, workload, role)
  if (goal === 'throughput') return loaded(groups, bears, workload, role)
  if (goal === 'cost') return loaded(cheapest(groups, requestsPerS!), requestsPerS!, workload, role)
  return quickest(groups, requestsPerS ?? 1e-6, workload, role)
}

/** The given groups at a rate of which each takes its share. */
export function loaded(
  groups: readonly Group[],
  rate: number,
  workload: ServingWorkload,
  role: Role,
): Assignment {
  const bears = groups.reduce((sum, { form }) => sum + form.most.requestsPerS, 0)
  const share = bears === 0 ? 0 : Math.min(1, rate / bears)
  const assigned = groups.flatMap((group) => {
    const { most, pipeline } = group.form
    const state = share > 1 - 1e-9 ? most : pipeline.at(most.requestsPerS * share, role)
    return state === null ? [] : [{ group, role, state }]
  })
  return summed(assigned, workload)
}

/** Means over all requests, and what it is worth. */
export function summed(assigned: readonly Assigned[], workload: ServingWorkload): Assignment {
  const { goal, requestsPerS, outputTokens } = workload
  let rate = 0
  let ttft = 0
  let tpot = 0
  let pricePerHour = 0
  for (const { state, group } of assigned) {
    rate += state.requestsPerS
    ttft += state.requestsPerS * state.ttftMs
    tpot += state.requestsPerS * state.tpotMs
    pricePerHour += group.form.pipeline.pricePerHour
  }
  const ttftMs = rate === 0 ? Number.POSITIVE_INFINITY : ttft / rate
  const tpotMs = rate === 0 ? Number.POSITIVE_INFINITY : tpot / rate
  const feasible = rate > 0 && (requestsPerS === null || rate >= requestsPerS * (1 - 1e-6))
  const latencyMs = ttftMs + outputTokens.mean * tpotMs
  const worth = { throughput: rate, cost: -pricePerHour, latency: -latencyMs }[goal]
  // What is too small counts by how much it carries, below everything that is enough.
  const score = feasible ? worth : rate - 1e12
  return { assigned, requestsPerS: rate, ttftMs, tpotMs, pricePerHour, feasible, score }
}

/** By requests for the dollar until the load is carried; then without those that are not needed, the dearest first. */
function cheapest(groups: readonly Group[], load: number): readonly Group[] {
  const price = ({ form }: Group) => form.pipeline.pricePerHour
  const rate = ({ form }: Group) => form.most.requestsPerS
  const ranked = [...groups].sort(
    (a, b) => price(a) / rate(a) - price(b) / rate(b) || rate(b) - rate(a) || order(a, b),
  )
  const taken: Group[] = []
  let carried = 0
  for (const group of ranked) {
    if (carried >= load * (1 - 1e-9)) break
    taken.push(group)
    carried += rate(group)
  }
  // The last one may be replaced by the cheapest that closes the gap.
  const last = taken.at(-1)!
  const gap = load - (carried - rate(last))
  const closer = ranked
    .filter((group) => !taken.includes(group) || group === last)
    .filter((group) => rate(group) >= gap * (1 - 1e-9))
    .reduce((best, group) => (price(group) < price(best) ? group : best), last)
  taken[taken.length - 1] = closer
  carried += rate(closer) - rate(last)
  for (const group of [...taken].sort((a, b) => price(b) - price(a) || order(a, b))) {
    if (carried - rate(group) < load * (1 - 1e-9)) continue
    carried -= rate(group)
    taken.splice(taken.indexOf(group), 1)
  }
  return taken
}

const order = (a: Group, b: Group): number => a.units[0]!.index - b.units[0]!.index

/** Of the quickest groups as many as make requests quickest together. */
function quickest(groups: readonly Group[], load: number, workload: ServingWorkload, role: Role): Assignment {
  const alone = new Map(
    groups.map((group) => {
      const { ttftMs, tpotMs } = group.form.pipeline.at(1e-6, role)!
      return [group, ttftMs + workload.outputTokens.mean * tpotMs]
    }),
  )
  const ranked = [...groups].sort((a, b) => alone.get(a)! - alone.get(b)! || order(a, b))
  let best: Assignment | null = null
  let bears = 0
  let tried = 0
  for (let count = 1; count <= ranked.length && tried < mostSubsets; count += 1) {
    bears += ranked[count - 1]!.form.most.requestsPerS
    if (bears < load * (1 - 1e-9)) continue
    tried += 1
    const next = loaded(ranked.slice(0, count), load, workload, role)
    if (best === null || next.score > best.score) best = next
  }
  return best ?? loaded(groups, load, workload, role)
}
