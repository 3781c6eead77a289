import { z } from 'zod'
import type { ModelSummary, TextModel } from '../inference/text-model.ts'

/** Models are served until the server ends; Ollama writes it as a time this far off. */
const FOR_EVER_YEARS = 292

/** Under either name that Ollama's clients have for it. */
export const showRequest = z
  .object({ model: z.string().nullish(), name: z.string().nullish() })
  .transform(({ model, name }) => model || name)
  .pipe(z.string().min(1))

const details = ({ parent }: ModelSummary) => ({
  parent_model: parent ?? '',
  format: '',
  family: FAMILY,
  families: [FAMILY],
  parameter_size: '',
  quantization_level: '',
})

/** Keys of `model_info` begin with it; clients look for the context's length under whatever name stands here. */
const FAMILY = 'deos'

const modifiedAt = ({ createdSeconds }: ModelSummary): string => new Date(createdSeconds * 1000).toISOString()

export const modelBody = (model: ModelSummary) => ({
  name: model.id,
  model: model.id,
  modified_at: modifiedAt(model),
  digest: model.fingerprint,
  details: details(model),
})

export function runningBody(model: ModelSummary) {
  const expires = new Date()
  expires.setUTCFullYear(expires.getUTCFullYear() + FOR_EVER_YEARS)
  const { modified_at: _, ...body } = modelBody(model)
  return { ...body, expires_at: expires.toISOString(), context_length: model.contextLength }
}

const thinks = ({ format }: TextModel): boolean =>
  format.reasoning !== null || format.tools.name === 'harmony'

export const showBody = (model: TextModel) => ({
  modelfile: '',
  parameters: '',
  template: '',
  details: details(model),
  model_info: {
    'general.architecture': FAMILY,
    'general.basename': model.id,
    [`${FAMILY}.context_length`]: model.contextLength,
  },
  capabilities: ['completion', 'tools', 'embedding', ...(thinks(model) ? ['thinking'] : [])],
  modified_at: modifiedAt(model),
})
