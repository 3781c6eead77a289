import { InvalidFieldError } from './errors.ts'
import type { TextModel } from './text-model.ts'

/** A text to work on, as it is or as tokens. */
export type Prompt = string | readonly number[]

/** Lists of numbers are one prompt of tokens, other lists are several prompts. */
export function promptList(given: Prompt | readonly Prompt[]): readonly Prompt[] {
  if (typeof given === 'string') return [given]
  return given.length === 0 || typeof given[0] === 'number' ? [given as Prompt] : (given as readonly Prompt[])
}

/**
 * The tokens of a prompt, at least one.
 *
 * @param param - the field it came in
 * @throws InvalidFieldError if a token is not in the vocabulary, or there is none; as {@link TextModel.encode} does
 */
export async function promptTokens(
  prompt: Prompt,
  param: string,
  model: TextModel,
  signal: AbortSignal,
): Promise<Int32Array> {
  const tokens =
    typeof prompt === 'string'
      ? await model.encode(prompt, 'prompt', signal)
      : knownTokens(prompt, param, model)
  if (tokens.length > 0) return tokens
  throw new InvalidFieldError(
    param,
    `Invalid '${param}': it is empty, and this model has no token to begin with.`,
    'Send a text.',
  )
}

function knownTokens(prompt: readonly number[], param: string, { vocabSize }: TextModel): Int32Array {
  const stranger = prompt.find((token) => token >= vocabSize)
  if (stranger === undefined) return Int32Array.from(prompt)
  throw new InvalidFieldError(
    param,
    `Invalid '${param}': ${stranger} is not a token of this model.`,
    `Token ids go from 0 to ${vocabSize - 1}.`,
  )
}
