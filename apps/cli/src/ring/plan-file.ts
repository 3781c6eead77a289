import { readFile } from 'node:fs/promises'
import { formatLayers, type LayerRange } from '@deos/domain'
import { UsageError } from '../cli-error.ts'
import { isPlanDocument, type ServedPlan, servedPlans } from './served-plan.ts'

/** Into how many parts the ranks of a stage divide heads, experts and positions. */
export interface StageSplit {
  readonly tensor: number
  readonly experts: number
  readonly context: number
}

/** One stage of a plan: its layers, and the ranks that compute them together. */
export interface PlannedStage {
  readonly layers: LayerRange
  readonly split: StageSplit
  /** Names of its ranks; without them they are named after the stage's profile. */
  readonly workers?: readonly string[]
}

export const rankCount = ({ tensor, experts, context }: StageSplit): number => tensor * experts * context

const degrees = ['tensor', 'experts', 'context'] as const
const MOST_RANKS = 64

/**
 * Reads the stages that a plan asks for: what `deos plan serve --json` printed, or
 * `{"stages": [{"layers": {"first": 0, "end": 4}, "split": {"tensor": 2}}, …]}`; degrees that are left out are 1.
 *
 * @param replica - only this one, counted from 0
 * @returns one for each ring
 * @throws UsageError or PlanFileError naming file and field
 */
export async function readPlanFile(path: string, replica: number | null): Promise<readonly ServedPlan[]> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch {
    throw new UsageError(`The plan ${path} cannot be read.`, 'Give the path of a JSON file.')
  }
  return parsePlan(text, path, replica)
}

export function parsePlan(text: string, path: string, replica: number | null): readonly ServedPlan[] {
  const refuse = (field: string, problem: string): never => {
    throw new UsageError(
      `${path}: ${field} ${problem}.`,
      'A plan is {"stages": [{"layers": {"first": 0, "end": 4}, "split": {"tensor": 2}}]}.',
    )
  }
  const record = (value: unknown, field: string): Readonly<Record<string, unknown>> =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value))
      : refuse(field, 'is no object')
  const whole = (value: unknown, field: string, least: number, most: number): number =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
      ? value
      : refuse(field, `is ${JSON.stringify(value)}, not a whole number from ${least} to ${most}`)
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return refuse('the file', 'is not JSON')
  }
  if (isPlanDocument(parsed)) return servedPlans(text, path, replica)
  const { stages } = record(parsed, 'the plan')
  if (!Array.isArray(stages) || stages.length === 0) return refuse('stages', 'is no list of at least one')
  if (replica !== null) {
    throw new UsageError(`${path} is the plan of one ring, without replicas.`, 'Leave out --replica.')
  }
  const planned = stages.map((value: unknown, index): PlannedStage => {
    const field = `stages[${index}]`
    const stage = record(value, field)
    const layers = record(stage.layers, `${field}.layers`)
    const first = whole(layers.first, `${field}.layers.first`, 0, 10_000)
    const end = whole(layers.end, `${field}.layers.end`, first + 1, 10_000)
    const given = stage.split === undefined ? {} : record(stage.split, `${field}.split`)
    const unknown = Object.keys(given).find((name) => !degrees.some((degree) => degree === name))
    if (unknown !== undefined) refuse(`${field}.split.${unknown}`, `is none of ${degrees.join(', ')}`)
    const degree = (name: (typeof degrees)[number]) =>
      whole(given[name] ?? 1, `${field}.split.${name}`, 1, MOST_RANKS)
    const split = { tensor: degree('tensor'), experts: degree('experts'), context: degree('context') }
    return { layers: { first, end }, split }
  })
  const open = { model: null, weightType: null, kvType: null, contextLength: null, maxSessions: null }
  return [{ stages: planned, ...open }]
}

/** @throws UsageError unless the stages hold every layer of the model once, in order */
export function checkCoverage(stages: readonly PlannedStage[], layers: number): void {
  let next = 0
  for (const [index, { layers: range }] of stages.entries()) {
    if (range.first !== next) {
      throw new UsageError(
        `Stage ${index} of the plan holds layers ${formatLayers(range)}; the next layer is ${next}.`,
        'Let each stage begin where the one before ends.',
      )
    }
    next = range.end
  }
  if (next !== layers) {
    throw new UsageError(
      `The plan ends at layer ${next}; the model has ${layers}.`,
      'Make the plan for this model.',
    )
  }
}
