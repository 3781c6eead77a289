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
  const fixes = [
    ...precisionFixes(workload, feasible),
    ...machineFixes(fleet, workload, feasible),
    ...targetFixes(workload, attempt, fleet),
    ...(anyLoad === null || workload.requestsPerS === null ? [] : [loadFix(anyLoad, workload)]),
  ]
  const ranked = fixes.sort(
    (a, b) => a.pricePerHour - b.pricePerHour || Number(a.givesUp !== null) - Number(b.givesUp !== null),
  )
  return {
    kind: 'refused',
    binding: bindingOf(shape, fleet, workload, unbound, anyLoad),
    fixes: ranked,
    bestEffort: unbound === null ? null : figuresOf(unbound.assignment, workload),
  }
}

function bindingOf(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  unbound: ServingChoice | null,
  anyLoad: ServingChoice | null,
): string {
  if (unbound === null) return memoryBinding(shape, fleet, workload)
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

function targetFixes(workload: ServingWorkload, attempt: Attempt, fleet: ComputeFleet): readonly Fix[] {
  return (['ttftMs', 'tpotMs'] as const).flatMap((key): readonly Fix[] => {
    if (workload[key] === null) return []
    const found = attempt(fleet, { ...workload, [key]: null })
    if (found === null || !found.assignment.feasible) return []
    const value = Math.ceil(found.assignment[key])
    const name = key === 'ttftMs' ? 'TTFT' : 'TPOT'
    return [
      {
        change: `Accept a ${name} of ${value} ms.`,
        pricePerHour: 0,
        givesUp: `${name} of ${workload[key]} ms`,
      },
    ]
  })
}

const loadFix = ({ assignment }: ServingChoice, workload: ServingWorkload): Fix => ({
  change: `Send at most ${show(assignment.requestsPerS * 0.999)} requests/s.`,
  pricePerHour: 0,
  givesUp: `${show(workload.requestsPerS! - assignment.requestsPerS)} requests/s`,
})
