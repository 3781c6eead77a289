import { defaultSampling, type SamplingParams } from '@deos/domain'
import { randomSeed } from '@deos/service'
import { z } from 'zod'
import type { Visit } from '../access/visit.ts'
import { badRequest, Problem } from '../http/problem.ts'
import type { ModelCatalog } from '../inference/model-catalog.ts'
import type { TextModel } from '../inference/text-model.ts'

const int64 = 2 ** 63

/** Fields that chat and text completions share. Fields not named here are ignored, as OpenAI's servers do. */
export const commonFields = {
  model: z.string().min(1),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  n: z.int().min(1).max(16).nullish(),
  // Larger than a double holds exactly, but a rounded seed still names one stream of noise.
  seed: z
    .number()
    .refine((seed) => Number.isInteger(seed) && Math.abs(seed) <= int64, 'must be a 64-bit integer')
    .nullish(),
  stop: z
    .union([z.string().min(1), z.array(z.string().min(1)).max(4)], {
      error: 'must be a string or an array of at most 4 strings, none of them empty',
    })
    .nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  logit_bias: z.record(z.string(), z.number().min(-100).max(100)).nullish(),
  user: z.string().nullish(),
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().positive().max(10).nullish(),
  ignore_eos: z.boolean().nullish(),
  priority: z.int().min(-100).max(100).nullish(),
  service_tier: z.string().nullish(),
}

export type CommonFields = z.infer<z.ZodObject<typeof commonFields>>

const tierPriorities: Readonly<Record<string, number>> = { priority: 10, flex: -10 }

/** How urgent a request is: as it says in a number, or by OpenAI's service tier. */
export const priorityOf = ({
  priority,
  service_tier: tier,
}: Pick<CommonFields, 'priority' | 'service_tier'>): number => priority ?? tierPriorities[tier ?? ''] ?? 0

/**
 * The model that a request is for.
 *
 * @throws Problem 404 `model_not_found`; whatever {@link ModelCatalog.find} throws
 */
export function findModel(catalog: ModelCatalog, visit: Visit, id: string): TextModel {
  const model = catalog.find(visit, id)
  if (model) return model
  throw modelNotFound(catalog, visit, id)
}

/** A name that nothing has, as far as whoever asks may know. */
export function modelNotFound(catalog: ModelCatalog, visit: Visit, id: string): Problem {
  const names = catalog.list(visit).map((model) => model.id)
  return new Problem({
    status: 404,
    type: 'invalid_request_error',
    code: 'model_not_found',
    param: 'model',
    message: `The model '${id.slice(0, 200)}' does not exist.`,
    hint: names.length === 0 ? 'Nothing is served here yet.' : `Served here: ${shortList(names)}.`,
  })
}

const SHOWN = 50

const shortList = (names: readonly string[]): string =>
  names.slice(0, SHOWN).join(', ') + (names.length > SHOWN ? `, and ${names.length - SHOWN} more` : '')

function readLogitBias(
  bias: Readonly<Record<string, number>> | null | undefined,
  vocabSize: number,
): readonly (readonly [number, number])[] {
  return Object.entries(bias ?? {}).map(([key, value]) => {
    const token = /^\d{1,10}$/.test(key) ? Number(key) : Number.NaN
    if (!(token < vocabSize)) {
      throw badRequest(`Invalid 'logit_bias': "${key.slice(0, 80)}" is not a token of this model.`, {
        param: 'logit_bias',
        hint: `Keys are token ids from 0 to ${vocabSize - 1}.`,
      })
    }
    return [token, value] as const
  })
}

/**
 * How answer number `answer` of a call is sampled. Answers differ in their seed only.
 *
 * @param logprobs - alternatives to report, `null` for no report
 */
export function samplingFor(
  fields: CommonFields,
  model: TextModel,
  logprobs: number | null,
): (answer: number) => SamplingParams {
  const preferred = { ...defaultSampling, ...model.defaults }
  const seed = fields.seed == null ? BigInt(randomSeed()) : BigInt(fields.seed)
  const common = {
    temperature: fields.temperature ?? preferred.temperature,
    topK: Math.max(0, fields.top_k ?? preferred.topK),
    topP: fields.top_p ?? preferred.topP,
    minP: fields.min_p ?? preferred.minP,
    repetitionPenalty: fields.repetition_penalty ?? preferred.repetitionPenalty,
    presencePenalty: fields.presence_penalty ?? 0,
    frequencyPenalty: fields.frequency_penalty ?? 0,
    logitBias: readLogitBias(fields.logit_bias, model.vocabSize),
    logprobs,
  }
  return (answer) => ({ ...common, seed: BigInt.asUintN(64, seed + BigInt(answer)).toString() })
}

/** Lone surrogates cannot be written as UTF-8; tokenizers see U+FFFD in their place, as in any decoded text. */
export const wellFormed = (text: string): string => Buffer.from(text, 'utf8').toString('utf8')

export function stopStrings(stop: CommonFields['stop']): readonly string[] {
  const list = stop == null ? [] : typeof stop === 'string' ? [stop] : stop
  return list.map(wellFormed)
}
