import type { ModelShape } from '../../models/index.ts'
import type { LinkLookup, LinkRate } from '../fleet.ts'
import { type Assigned, type Assignment, assign, loaded, summed } from './assignment.ts'
import type { Group, GroupForms } from './groups.ts'
import { kvBytesOf } from './kv-bytes.ts'
import type { Role } from './pipeline.ts'
import { machineOf } from './units.ts'
import type { ServingWorkload } from './workload.ts'

/** Pipelines that compute prompts and others that answer; the KV of a prompt goes from the first to the second. */
export interface RoleSplit {
  readonly assignment: Assignment
  /** What the hand-over adds to the time to the first token. */
  readonly handOverMs: number
  readonly kvBytesPerPrompt: number
}

/** Groups tried as prefill pipelines: so many first ones of the ranking. */
const mostCuts = 48

/**
 * Divides pipelines into those that compute prompts and those that answer: the ones that are relatively best at prompts
 * go first. KV leaves layer by layer while the prompt is computed, so that only what the link cannot keep up with waits.
 *
 * @returns null if no division carries anything
 */
export function splitRoles(
  groups: readonly Group[],
  forms: GroupForms,
  shape: ModelShape,
  links: LinkLookup,
): RoleSplit | null {
  const { workload } = forms
  const able = groups.flatMap(({ units }) => {
    const prefill = forms.group(units, 'prefill')
    const decode = forms.group(units, 'decode')
    return prefill === null || decode === null ? [] : [{ prefill, decode }]
  })
  if (able.length < 2) return null
  const rate = ({ form }: Group) => form.most.requestsPerS
  const ranked = able.sort(
    (a, b) =>
      rate(b.prefill) / rate(b.decode) - rate(a.prefill) / rate(a.decode) ||
      a.prefill.units[0]!.index - b.prefill.units[0]!.index,
  )
  let best: RoleSplit | null = null
  const cuts = Math.min(mostCuts, ranked.length - 1)
  for (let cut = 1; cut <= cuts; cut += 1) {
    const next = dividedLoad(
      ranked.slice(0, cut).map(({ prefill }) => prefill),
      ranked.slice(cut).map(({ decode }) => decode),
      workload,
      shape,
      links,
    )
    if (next !== null && (best === null || next.assignment.score > best.assignment.score)) best = next
  }
  return best
}

/** The load over pipelines of both roles, the link between them included; `null` if nothing is carried in time. */
export function dividedLoad(
  prefill: readonly Group[],
  decode: readonly Group[],
  workload: ServingWorkload,
  shape: ModelShape,
  links: LinkLookup,
): RoleSplit | null {
  const bears = (groups: readonly Group[]) =>
    groups.reduce((sum, { form }) => sum + form.most.requestsPerS, 0)
  const { promptTokens, kvBytesPerElement, kvCompression = 1 } = workload
  const kvBytesPerPrompt = kvBytesOf(shape, promptTokens.mean, kvBytesPerElement) / kvCompression
  const link = worstOfBest(prefill, decode, links)
  const linkBears = link.bytesPerS / kvBytesPerPrompt
  const most = Math.min(bears(prefill), bears(decode), linkBears * Math.min(prefill.length, decode.length))
  const wanted = workload.goal === 'throughput' ? most : (workload.requestsPerS ?? 1e-6)
  const rate = Math.min(most, wanted)
  if (!(rate > 0)) return null
  // As many requests as the narrower side bears; all pipelines of the wider one share them, for what comes in bursts.
  const part = (groups: readonly Group[], role: Role) =>
    workload.goal === 'throughput'
      ? loaded(groups, rate, workload, role)
      : assign(groups, { ...workload, requestsPerS: rate }, role)
  const first = part(prefill, 'prefill')
  const second = part(decode, 'decode')
  const handOverMs = handOver(first, kvBytesPerPrompt, link, shape.layers)
  const ttftMs = first.ttftMs + handOverMs
  if (workload.ttftMs !== null && ttftMs > workload.ttftMs) return null
  const assigned: readonly Assigned[] = [...first.assigned, ...second.assigned]
  const together = summed(assigned, workload)
  const latencyMs = ttftMs + workload.outputTokens.mean * second.tpotMs
  const feasible =
    first.feasible &&
    second.feasible &&
    (workload.requestsPerS === null || rate >= workload.requestsPerS * (1 - 1e-6))
  const worth = { throughput: rate, cost: -together.pricePerHour, latency: -latencyMs }[workload.goal]
  return {
    handOverMs,
    kvBytesPerPrompt,
    assignment: {
      assigned,
      requestsPerS: rate,
      ttftMs,
      tpotMs: second.tpotMs,
      pricePerHour: together.pricePerHour,
      feasible,
      score: feasible ? worth : rate - 1e12,
    },
  }
}

/** Every prefill pipeline sends to the nearest decode pipeline; the slowest of these ways counts. */
function worstOfBest(prefill: readonly Group[], decode: readonly Group[], links: LinkLookup): LinkRate {
  let worst: LinkRate = { delayMs: 0, bytesPerS: Number.POSITIVE_INFINITY }
  for (const from of prefill) {
    let best: LinkRate | null = null
    for (const to of decode) {
      const link = links.between(machineOf(from.units[0]!), machineOf(to.units[0]!))
      if (best === null || link.bytesPerS > best.bytesPerS) best = link
    }
    if (best !== null && best.bytesPerS < worst.bytesPerS) worst = best
  }
  return worst
}

function handOver(prefill: Assignment, sizeBytes: number, link: LinkRate, layers: number): number {
  const sendMs = (sizeBytes / link.bytesPerS) * 1000
  const computeMs = Math.min(
    ...prefill.assigned.map(({ group }) =>
      group.form.pipeline.prefillMs.reduce((sum, each) => sum + each, 0),
    ),
  )
  return Math.max(sendMs / layers, sendMs - (computeMs * (layers - 1)) / layers) + link.delayMs
}
