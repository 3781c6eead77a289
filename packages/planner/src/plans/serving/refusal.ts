import { type Bytes, bytes, formatBytes } from '@deos/domain'
import { keyOfAccelerator } from '../../devices/index.ts'
import type { ModelShape } from '../../models/index.ts'
import { type ComputeFleet, insideLinkOf } from '../fleet.ts'
import type { ServingChoice } from './choices.ts'
import { figuresOf } from './describe.ts'
import type { Fix, ServingRefusal } from './serving-plan.ts'
import { UnitCosts, usableMemory } from './unit-costs.ts'
import type { ServingWorkload, WeightPrecision } from './workload.ts'

export type Attempt = (fleet: ComputeFleet, workload: ServingWorkload) => ServingChoice | null

const mostAdded = 64
const lossy: readonly WeightPrecision[] = ['fp8', 'q8', 'q4']

/** Which constraint binds, and single changes with which a plan is found, the cheapest first. */
export function refusalOf(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  attempt: Attempt,
): ServingRefusal {
  const feasible = (changed: ServingWorkload, of = fleet) =>
    attempt(of, changed)?.assignment.feasible === true
  const free: ServingWorkload = {
    ...workload,
    ttftMs: null,
    tpotMs: null,
    requestsPerS: null,
    goal: 'throughput',
  }
  const unbound = attempt(fleet, free)
  const anyLoad = attempt(fleet, { ...workload, requestsPerS: null, goal: 'throughput' })
  const together = workload.roles === 'split' && feasible({ ...workload, roles: 'together' })
  const fixes = [
    ...precisionFixes(workload, feasible),
    ...machineFixes(fleet, workload, feasible),
    ...targetFixes(workload, attempt, feasible, fleet),
    ...contextFixes(workload, feasible),
    ...(together ? [rolesFix] : []),
    ...(anyLoad === null || workload.requestsPerS === null ? [] : [loadFix(anyLoad, workload)]),
  ]
  const ranked = fixes.sort(
    (a, b) => a.pricePerHour - b.pricePerHour || Number(a.givesUp !== null) - Number(b.givesUp !== null),
  )
  return {
    kind: 'refused',
    binding: bindingOf(shape, fleet, workload, { unbound, anyLoad, attempt, free }),
    fixes: ranked,
    bestEffort: unbound === null ? null : figuresOf(unbound.assignment, workload),
  }
}

/** What was found without load and targets, and with targets alone. */
interface Attempts {
  readonly unbound: ServingChoice | null
  readonly anyLoad: ServingChoice | null
  readonly attempt: Attempt
  readonly free: ServingWorkload
}

function bindingOf(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  { unbound, anyLoad, attempt, free }: Attempts,
): string {
  if (unbound === null) {
    const undivided = workload.roles === 'split' ? attempt(fleet, { ...free, roles: 'together' }) : null
    return undivided === null ? memoryBinding(shape, fleet, workload) : rolesBinding(undivided)
  }
  const { ttftMs, tpotMs, requestsPerS } = workload
  if (anyLoad === null) {
    const targets = [
      ...(ttftMs === null ? [] : [`a first token within ${ttftMs} ms`]),
      ...(tpotMs === null ? [] : [`${tpotMs} ms for each token after it`]),
    ]
    return `Latency: not even a lone request meets ${targets.join(' and ')}.`
  }
  const most = anyLoad.assignment.requestsPerS
  return `Throughput: the fleet bears ${show(most)} requests/s${ttftMs === null && tpotMs === null ? '' : ' within the targets'}; ${show(requestsPerS ?? 0)} are asked for.`
}

const rolesBinding = ({ precision }: ServingChoice): string =>
  `Roles: the fleet holds the model as ${precision} once, but not apart for prompts and for answers.`

const rolesFix: Fix = {
  change: 'Compute prompts where they are answered (roles: together).',
  pricePerHour: 0,
  givesUp: 'steps that do not wait for prompts',
}

function memoryBinding(shape: ModelShape, fleet: ComputeFleet, workload: ServingWorkload): string {
  const least = workload.precisions.map((precision) => needOf(shape, fleet, workload, precision))
  const needed = least.reduce((a, b) => (b.sizeBytes < a.sizeBytes ? b : a))
  const offered = fleet.machines.reduce(
    (sum, { accelerator, accelerators }) =>
      sum + accelerator.memoryGiB * 2 ** 30 * accelerators * usableMemory,
    0,
  )
  return `Memory: the model as ${needed.precision} with one session of ${workload.contextTokens} tokens takes ${size(needed.sizeBytes)}; the fleet offers ${size(offered)}${offered < needed.sizeBytes ? '' : ' in pieces that its layers do not fill'}.`
}

const size = (value: number): string => formatBytes(bytes(Math.round(value)) as Bytes)
const show = (value: number): string => String(Number(value.toPrecision(3)))

function needOf(
  shape: ModelShape,
  { machines, efficiency }: ComputeFleet,
  workload: ServingWorkload,
  precision: WeightPrecision,
) {
  const { accelerator } = machines[0]!
  const kind = { accelerator, tensorParallel: 1, link: insideLinkOf(accelerator) }
  const costs = new UnitCosts(shape, kind, precision, workload, efficiency)
  const all = { first: 0, end: shape.layers }
  return { precision, sizeBytes: costs.weightBytes(all) + costs.kvBytesOfLongest(all) }
}

function precisionFixes(
  workload: ServingWorkload,
  feasible: (changed: ServingWorkload) => boolean,
): readonly Fix[] {
  const found = lossy
    .filter((precision) => !workload.precisions.includes(precision))
    .find((precision) => feasible({ ...workload, precisions: [precision] }))
  return found === undefined
    ? []
    : [{ change: `Allow weights as ${found}.`, pricePerHour: 0, givesUp: 'some quality of answers' }]
}

/** More machines of a kind that the fleet has, as few as do. */
function machineFixes(
  fleet: ComputeFleet,
  workload: ServingWorkload,
  feasible: (changed: ServingWorkload, of: ComputeFleet) => boolean,
): readonly Fix[] {
  const kinds = new Map(
    fleet.machines.map((machine) => [
      JSON.stringify([keyOfAccelerator(machine.accelerator), machine.accelerators, machine.site]),
      machine,
    ]),
  )
  return [...kinds.values()].flatMap((machine): readonly Fix[] => {
    const enough = (count: number) => {
      const more = Array.from({ length: count }, (_, at) => ({
        ...machine,
        name: `${machine.name}+${at + 1}`,
      }))
      return feasible(workload, { ...fleet, machines: [...fleet.machines, ...more] })
    }
    let high = 1
    while (high <= mostAdded && !enough(high)) high *= 2
    if (high > mostAdded) return []
    let low = Math.floor(high / 2)
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (enough(middle)) high = middle
      else low = middle
    }
    const what = `${high} more ${high === 1 ? 'machine' : 'machines'} like ${machine.name} (${machine.accelerators} × ${machine.accelerator.name}) at ${machine.site}`
    return [{ change: `Add ${what}.`, pricePerHour: high * machine.pricePerHour, givesUp: null }]
  })
}

/** The least that can be had of one target, or of both, with the rest as it is asked for. */
function targetFixes(
  workload: ServingWorkload,
  attempt: Attempt,
  feasible: (changed: ServingWorkload) => boolean,
  fleet: ComputeFleet,
): readonly Fix[] {
  const keys = targetKeys.filter((key) => workload[key] !== null)
  const least = (changed: readonly TargetKey[]): readonly Fix[] => {
    const without = { ...workload, ...Object.fromEntries(changed.map((key) => [key, null])) }
    const offered = [{ ...without, goal: 'latency' as const }, without].flatMap((asked) => {
      const found = attempt(fleet, asked)
      return found?.assignment.feasible === true ? targetsOf(found, changed) : []
    })
    const over = (targets: Targets) => changed.reduce((sum, key) => sum + targets[key]! / workload[key]!, 0)
    const enough = offered
      .sort((a, b) => over(a) - over(b))
      .find((targets) => feasible({ ...workload, ...targets }))
    if (enough === undefined) return []
    const told = (of: Targets, before: string) =>
      changed.map((key) => `${before}${targetNames[key]} of ${of[key]} ms`).join(' and ')
    return [{ change: `Accept ${told(enough, 'a ')}.`, pricePerHour: 0, givesUp: told(workload, '') }]
  }
  const single = keys.flatMap((key) => least([key]))
  return single.length === 0 && keys.length > 1 ? least(keys) : single
}

const targetKeys = ['ttftMs', 'tpotMs'] as const
type TargetKey = (typeof targetKeys)[number]
type Targets = Readonly<Partial<Record<TargetKey, number | null>>>
const targetNames = { ttftMs: 'TTFT', tpotMs: 'TPOT' } as const

/** What a plan reaches: on the average, and in the slowest of its pipelines, each of which has to meet a target. */
function targetsOf({ assignment }: ServingChoice, keys: readonly TargetKey[]): readonly Targets[] {
  const mean = (key: TargetKey) => Math.ceil(assignment[key])
  const slowest = (key: TargetKey) =>
    Math.max(mean(key), ...assignment.assigned.map(({ state }) => Math.ceil(state[key])))
  return [mean, slowest].map((of) => Object.fromEntries(keys.map((key) => [key, of(key)])))
}

/** Shorter sessions, as long as they may be. */
function contextFixes(
  workload: ServingWorkload,
  feasible: (changed: ServingWorkload) => boolean,
): readonly Fix[] {
  const { contextTokens, promptTokens, outputTokens } = workload
  const holds = (tokens: number) => feasible({ ...workload, contextTokens: tokens })
  let low = Math.ceil(promptTokens.p95 + outputTokens.p95)
  if (low >= contextTokens || !holds(low)) return []
  let high = contextTokens
  while (high - low > Math.max(1, contextPrecision * low)) {
    const middle = Math.floor((low + high) / 2)
    if (holds(middle)) low = middle
    else high = middle
  }
  const change = `Let sessions have at most ${low} tokens (contextTokens).`
  return [{ change, pricePerHour: 0, givesUp: `sessions of ${contextTokens} tokens` }]
}

const contextPrecision = 0.05

/** Rounded down, for a load that is rounded up is not borne. */
function loadFix({ assignment }: ServingChoice, workload: ServingWorkload): Fix {
  const most = assignment.requestsPerS * 0.999
  const digit = 10 ** (Math.floor(Math.log10(most)) - 2)
  const rate = Number((Math.floor(most / digit) * digit).toPrecision(3))
  return {
    change: `Send at most ${rate} requests/s.`,
    pricePerHour: 0,
    givesUp: `${Number((workload.requestsPerS! - rate).toPrecision(6))} requests/s`,
  }
}
