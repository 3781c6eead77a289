import { z } from 'zod'
import { badRequest, unsupported } from '../http/problem.ts'
import { type Prompt, promptList } from '../inference/prompt.ts'
import type { TextModel } from '../inference/text-model.ts'
import { commonFields, wellFormed } from './common-fields.ts'
import { outputFields } from './output-format.ts'

/** OpenAI's default when a completion names no limit. */
export const defaultMaxTokens = 16

/** Prompts times `n`: more answers than this in one call would only wait for each other. */
export const maxAnswers = 128

const tokens = z.array(z.int().min(0))

export const completionRequest = z.object({
  ...commonFields,
  ...outputFields,
  prompt: z.union([z.string(), z.array(z.string()).min(1), tokens.min(1), z.array(tokens.min(1)).min(1)], {
    error: 'must be a string, an array of strings, an array of tokens, or an array of token arrays',
  }),
  max_tokens: z.int().min(0).nullish(),
  logprobs: z.int().min(0).max(5).nullish(),
  echo: z.boolean().nullish(),
  suffix: z.string().nullish(),
  best_of: z.int().min(1).max(20).nullish(),
})

export type CompletionRequest = z.infer<typeof completionRequest>

/** @throws Problem naming the first parameter this server does not offer */
export function refuseUnsupported(request: CompletionRequest): void {
  if (request.suffix) throw unsupported('suffix', "Insertion before a 'suffix' is")
  if (request.best_of != null && request.best_of !== (request.n ?? 1)) {
    throw unsupported('best_of', "'best_of' other than 'n' is", "Leave it out, or give it the value of 'n'.")
  }
  if (request.echo && request.logprobs != null) {
    throw unsupported('logprobs', "'logprobs' of an echoed prompt are", "Leave out 'echo' or 'logprobs'.")
  }
}

/** The prompts of a call, one after another. */
export function prompts(request: CompletionRequest): readonly Prompt[] {
  const list = promptList(request.prompt)
  if (list.length * (request.n ?? 1) > maxAnswers) {
    throw badRequest(
      `${list.length} prompts times n = ${request.n ?? 1} are more than ${maxAnswers} answers.`,
      {
        param: 'prompt',
        hint: 'Split them over several requests.',
      },
    )
  }
  return list.map((prompt) => (typeof prompt === 'string' ? wellFormed(prompt) : prompt))
}

/** The prompt as `echo` repeats it. */
export function promptText(prompt: Prompt, model: TextModel): string {
  if (typeof prompt === 'string') return prompt
  const decoder = model.decoder()
  return prompt.map((token) => decoder.push(token)).join('') + decoder.flush()
}
