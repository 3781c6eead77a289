import { z } from 'zod'
import type { Visit } from '../access/visit.ts'
import { unsupported } from '../http/problem.ts'
import type { OutputFormat, Reasoning } from '../inference/chat/chat-request.ts'
import type { ModelCatalog } from '../inference/model-catalog.ts'
import type { TextModel } from '../inference/text-model.ts'
import { findModel, wellFormed } from '../openai/common-fields.ts'

const options = z.object({
  temperature: z.number().min(0).max(2).nullish(),
  top_k: z.int().nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  num_predict: z.int().nullish(),
  stop: z
    .union([z.string(), z.array(z.string()).max(64)], { error: 'must be a list of up to 64 strings' })
    .nullish(),
  repeat_penalty: z.number().positive().max(10).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
})

/** Fields of `/api/chat` and `/api/generate` alike. What only Ollama's own engine has, such as `keep_alive`, is ignored. */
export const commonFields = {
  model: z.string().min(1),
  stream: z.boolean().nullish(),
  format: z
    .union([z.enum(['', 'json']), z.record(z.string(), z.unknown())], {
      error: 'must be "json" or a JSON schema',
    })
    .nullish(),
  options: options.nullish(),
  think: z
    .union([z.boolean(), z.enum(['low', 'medium', 'high'])], {
      error: 'must be "high", "medium", "low", true or false',
    })
    .nullish(),
  template: z.string().nullish(),
  logprobs: z.boolean().nullish(),
}

export type CommonRequest = z.infer<z.ZodObject<typeof commonFields>>

/** @throws Problem naming the first parameter this server does not offer */
export function refuseCommon({ template, logprobs }: CommonRequest): void {
  if (template)
    throw unsupported('template', 'A template in a request is', "Leave it out for the model's own.")
  if (logprobs)
    throw unsupported('logprobs', 'Log-probabilities are', 'Ask for them at /v1/chat/completions.')
}

/** @throws Problem if there are any */
export function refuseImages(images: readonly unknown[] | null | undefined, param: string): void {
  if (images?.length) throw unsupported(param, 'Images are', 'Send text.')
}

export function outputFormat({ format }: CommonRequest): OutputFormat {
  if (format == null || format === '') return { type: 'text' }
  if (format === 'json') return { type: 'json', param: 'format' }
  return { type: 'json_schema', schema: format, strict: false, param: 'format' }
}

export const reasoningOf = ({ think }: CommonRequest): Reasoning => ({
  effort: typeof think === 'string' ? think : null,
  enabled: think == null ? null : think !== false,
})

/** Fields of the options as OpenAI's API calls them. */
export const samplingFields = ({ model, options: given }: CommonRequest) => ({
  model,
  temperature: given?.temperature,
  top_k: given?.top_k == null ? null : Math.max(0, given.top_k),
  top_p: given?.top_p,
  min_p: given?.min_p,
  // Ollama's own default, which leaves the seed to chance.
  seed: given?.seed === -1 ? null : given?.seed,
  repetition_penalty: given?.repeat_penalty,
  presence_penalty: given?.presence_penalty,
  frequency_penalty: given?.frequency_penalty,
})

export function limitsOf({ options: given }: CommonRequest) {
  const { stop, num_predict: limit } = given ?? {}
  const strings = stop == null ? [] : typeof stop === 'string' ? [stop] : stop
  return {
    stopStrings: strings.filter((text) => text !== '').map(wellFormed),
    // For Ollama, what is not positive limits nothing.
    maxTokens: limit == null || limit <= 0 ? null : limit,
  }
}

const LATEST = ':latest'

/**
 * Ollama's names carry a tag; ours have none, and `latest` means the one there is.
 *
 * @throws Problem 404 `model_not_found`
 */
export const modelNamed = (models: ModelCatalog, visit: Visit, name: string): TextModel =>
  findModel(models, visit, plainName(models, visit, name))

/** The name without a tag that says nothing. */
function plainName(models: ModelCatalog, visit: Visit, name: string): string {
  if (!name.endsWith(LATEST) || models.summary(visit, name) !== null) return name
  return name.slice(0, -LATEST.length)
}
