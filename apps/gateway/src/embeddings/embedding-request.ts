import { z } from 'zod'
import { type Prompt, promptList } from '../inference/prompt.ts'
import { wellFormed } from '../openai/common-fields.ts'

/** As OpenAI limits it. */
export const MAX_INPUTS = 2048

const tokens = z.array(z.int().min(0)).min(1)

export const embeddingRequest = z.object({
  model: z.string().min(1),
  input: z.union(
    [
      z.string().min(1),
      tokens,
      z.array(z.string().min(1)).min(1).max(MAX_INPUTS),
      z.array(tokens).min(1).max(MAX_INPUTS),
    ],
    {
      error: `must be a text, a list of token ids, or a list of up to ${MAX_INPUTS} of either, none of them empty`,
    },
  ),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).nullish(),
  user: z.string().nullish(),
  /** Ours: how the hidden states of a text become one vector. */
  pooling: z.enum(['mean', 'last']).nullish(),
})

export type EmbeddingRequest = z.infer<typeof embeddingRequest>

export const embeddingInputs = ({ input }: EmbeddingRequest): readonly Prompt[] =>
  promptList(input).map((prompt) => (typeof prompt === 'string' ? wellFormed(prompt) : prompt))
