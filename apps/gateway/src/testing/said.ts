import { byteFormat } from './byte-model.ts'

/** A format whose thoughts stand between `<think>` and `</think>`. */
export const thinkingFormat = byteFormat('hermes', { reasoning: { open: '<think>', close: '</think>' } })

/** A call as a model of the `hermes` format writes it. */
export const calling = (name: string, given: string): string =>
  `<tool_call>\n{"name": "${name}", "arguments": ${given}}\n</tool_call>`

/** Schema of the arguments of a function that tells the weather. */
export const citySchema = {
  type: 'object' as const,
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
}
