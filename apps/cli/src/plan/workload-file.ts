import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { describeError } from '@deos/domain'
import {
  checkServingWorkload,
  checkTrainingJob,
  type Lengths,
  PlanInputError,
  type ServingRequest,
  type ServingWorkload,
  type TrainingJob,
} from '@deos/planner'
import { z } from 'zod'
import { PlanFile, PlanFileError } from './plan-file.ts'

const positive = z.number().positive()
const lengths = z.union(
  [z.number().min(1), z.strictObject({ mean: z.number().min(1), p95: z.number().min(1).optional() })],
  { error: 'is neither a number of tokens nor {mean, p95}' },
)
/** The 95th percentile of an exponential distribution is three times its mean; texts vary less. */
const usualSpread = 2

const servingSchema = z.strictObject({
  kind: z.literal('serve'),
  requestsPerS: positive.optional(),
  trace: z.string().min(1).optional(),
  promptTokens: lengths.optional(),
  outputTokens: lengths.optional(),
  contextTokens: z.int().min(1).optional(),
  ttftMs: positive.optional(),
  tpotMs: positive.optional(),
  goal: z.enum(['throughput', 'cost', 'latency']).default('throughput'),
  precisions: z
    .array(z.enum(['fp32', 'fp16', 'fp8', 'q8', 'q4']))
    .min(1)
    .default(['fp16']),
  kv: z.enum(['fp16', 'q8']).default('fp16'),
  kvCompression: z.number().min(1).default(1),
  roles: z.enum(['together', 'split', 'either']).default('either'),
  maxBatch: z.int().min(1).max(1024).default(256),
})

const trainingSchema = z.strictObject({
  kind: z.literal('train'),
  globalBatch: z.int().min(1),
  sequenceTokens: z.int().min(1),
  microbatches: z.array(z.int().min(1)).min(1).default([1, 2, 4]),
  optimiser: z.enum(['adam', 'sgd']).default('adam'),
  precision: z.enum(['fp16', 'fp32']).default('fp16'),
  goal: z.enum(['throughput', 'cost']).default('throughput'),
  localUpdates: z.strictObject({ everySteps: z.int().min(2).max(1000) }).optional(),
  tokens: positive.optional(),
  stepS: positive.optional(),
})

const kvBytes = { fp16: 2, q8: 34 / 32 } as const
const traceHead = /^\s*at_ms\s*,\s*prompt_tokens\s*,\s*output_tokens\s*$/

/** @throws PlanFileError naming file, line and field */
export async function readServingWorkload(path: string): Promise<ServingWorkload> {
  const file = await PlanFile.read(path)
  return servingOfFile(file, async (name) => {
    const csv = resolve(dirname(path), name)
    return readFile(csv, 'utf8').catch((cause: unknown) => {
      throw new PlanFileError(csv, null, '', describeError(cause), 'Give a CSV file that can be read.')
    })
  })
}

/** @param readTable - text of a file that the workload names */
export async function servingOfFile(
  file: PlanFile,
  readTable: (name: string) => Promise<string>,
): Promise<ServingWorkload> {
  const given = file.parse(servingSchema)
  const trace = given.trace === undefined ? null : parseTrace(given.trace, await readTable(given.trace))
  const promptTokens = lengthsOf(file, 'promptTokens', given.promptTokens, trace)
  const outputTokens = lengthsOf(file, 'outputTokens', given.outputTokens, trace)
  const longest = trace?.reduce((most, each) => Math.max(most, each.promptTokens + each.outputTokens), 0)
  const workload: ServingWorkload = {
    requestsPerS: given.requestsPerS ?? (trace === null ? null : rateOf(trace)),
    promptTokens,
    outputTokens,
    trace,
    contextTokens: given.contextTokens ?? longest ?? Math.ceil(promptTokens.p95 + outputTokens.p95),
    ttftMs: given.ttftMs ?? null,
    tpotMs: given.tpotMs ?? null,
    goal: given.goal,
    precisions: given.precisions,
    kvBytesPerElement: kvBytes[given.kv],
    kvCompression: given.kvCompression,
    roles: given.roles,
    maxBatch: given.maxBatch,
  }
  return checked(file, workload, checkServingWorkload)
}

/** @throws PlanFileError naming file, line and field */
export async function readTrainingJob(path: string): Promise<TrainingJob> {
  return trainingOfFile(await PlanFile.read(path))
}

export function trainingOfFile(file: PlanFile): TrainingJob {
  const { localUpdates, tokens, stepS, kind: _, microbatches, ...given } = file.parse(trainingSchema)
  const job: TrainingJob = {
    ...given,
    microbatches: microbatches.filter((size) => size <= given.globalBatch),
    mostLocalSteps: localUpdates?.everySteps ?? 1,
    tokens: tokens ?? null,
    stepS: stepS ?? null,
  }
  return checked(file, job, checkTrainingJob)
}

/** What contradicts itself gets its line too. */
function checked<T>(file: PlanFile, value: T, check: (value: T) => void): T {
  try {
    check(value)
  } catch (error) {
    if (!(error instanceof PlanInputError)) throw error
    throw file.error(error.field.split('.'), error.message, error.hint)
  }
  return value
}

function lengthsOf(
  file: PlanFile,
  key: 'promptTokens' | 'outputTokens',
  given: z.infer<typeof lengths> | undefined,
  trace: readonly ServingRequest[] | null,
): Lengths {
  if (typeof given === 'number') return { mean: given, p95: given }
  if (given !== undefined) return { mean: given.mean, p95: given.p95 ?? given.mean * usualSpread }
  if (trace === null) {
    throw file.error([key], 'It is missing.', 'Give the mean number of tokens, or a trace.')
  }
  const sorted = trace.map((request) => request[key]).sort((a, b) => a - b)
  const mean = Math.max(1, sorted.reduce((sum, each) => sum + each, 0) / sorted.length)
  return { mean, p95: Math.max(mean, sorted[Math.floor(sorted.length * 0.95)]!) }
}

const rateOf = (trace: readonly ServingRequest[]): number =>
  ((trace.length - 1) * 1000) / Math.max(1, trace.at(-1)!.atMs - trace[0]!.atMs)

/** Lines of `at_ms,prompt_tokens,output_tokens`, with a head, in order of time. */
export function parseTrace(name: string, text: string): readonly ServingRequest[] {
  const lines = text.split(/\r?\n/)
  const refuse = (line: number, what: string, hint: string): never => {
    throw new PlanFileError(name, line, '', what, hint)
  }
  if (!traceHead.test(lines[0] ?? '')) {
    refuse(1, 'The first line is not at_ms,prompt_tokens,output_tokens.', 'Begin with these names.')
  }
  const numbers: number[] = []
  const requests = lines.slice(1).flatMap((line, at): readonly ServingRequest[] => {
    if (line.trim() === '') return []
    const [atMs, promptTokens, outputTokens, ...more] = line
      .split(',')
      .map((cell) => (cell.trim() === '' ? Number.NaN : Number(cell)))
    const whole = (value: number | undefined) => Number.isSafeInteger(value) && value! >= 1
    if (
      more.length > 0 ||
      !(atMs! >= 0 && Number.isFinite(atMs)) ||
      !whole(promptTokens) ||
      !whole(outputTokens)
    ) {
      refuse(at + 2, `"${line}" is no request.`, 'Write ms from 0, and whole numbers of tokens from 1.')
    }
    numbers.push(at + 2)
    return [{ atMs: atMs!, promptTokens: promptTokens!, outputTokens: outputTokens! }]
  })
  if (requests.length < 2) refuse(1, `It has ${requests.length} requests.`, 'Give two at least.')
  for (const [at, { atMs }] of requests.entries()) {
    if (at > 0 && atMs < requests[at - 1]!.atMs)
      refuse(numbers[at]!, `Request ${at + 1} comes before the one above it.`, 'Sort them by time.')
  }
  return requests
}
