import type { Assignment } from './assignment.ts'
import type { ServingChoice } from './choices.ts'
import { degreesOf, type UnitKind } from './unit-costs.ts'
import type { UnitLayout } from './units.ts'

/** Three digits. */
export const show = (value: number): string => String(Number(value.toPrecision(3)))

/** A choice in a few words. */
export function nameOfChoice({
  precision,
  tensorParallel,
  acrossMachines,
  roles,
  assignment,
}: ServingChoice): string {
  const replicas = assignment.assigned.length
  const depth = Math.max(...assignment.assigned.map(({ group }) => group.form.positions.length))
  const { expert, context, offload } = mostOf(assignment)
  const groups = [
    tensorParallel === 1 ? 'no tensor parallelism' : `TP up to ${tensorParallel}`,
    ...(expert > 1 ? [`experts over ${expert}`] : []),
    ...(context > 1 ? [`positions over ${context}`] : []),
    ...(offload > 0 ? [`${Math.round(offload * 100)}% of weights with the host`] : []),
  ].join(', ')
  const across = acrossMachines && tensorParallel * expert * context > 1 ? ' across machines' : ''
  const split = roles === 'split' ? ', prompts computed apart' : ''
  return `${replicas} ${replicas === 1 ? 'pipeline' : 'pipelines'} of up to ${depth} ${depth === 1 ? 'stage' : 'stages'}, ${groups}${across}, ${precision}${split}`
}

/** Choices of one kind are alike in all but the number of pipelines. */
export const kindOf = ({ precision, tensorParallel, roles, assignment }: ServingChoice): string =>
  JSON.stringify([precision, tensorParallel, roles, mostOf(assignment)])

/** Beside tensor parallelism, the most that any group of it does. */
function mostOf({ assigned }: Assignment): Omit<UnitLayout, 'tensor'> {
  const kinds = assigned.flatMap(({ group }) => group.units.map(({ kind }) => kind))
  const most = (of: (kind: UnitKind) => number) => Math.max(...kinds.map(of))
  return {
    expert: most((kind) => degreesOf(kind).expert),
    context: most((kind) => degreesOf(kind).context),
    offload: most(({ offload }) => offload?.share ?? 0),
  }
}

/** Choices with one key divide in the same way. */
export const keyOf = ({
  precision,
  tensorParallel,
  acrossMachines,
  roles,
  assignment,
}: ServingChoice): string =>
  JSON.stringify([
    precision,
    tensorParallel,
    acrossMachines,
    roles,
    mostOf(assignment),
    assignment.assigned.length,
    assignment.assigned.filter(({ role }) => role === 'prefill').length,
  ])
