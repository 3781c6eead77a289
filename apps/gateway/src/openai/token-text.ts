import type { TextModel } from '../inference/text-model.ts'

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A token as text; bytes that are no text of their own are spelled out, as OpenAI does: `bytes:\xf0\x9f`. */
export function tokenText(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes)
  } catch {
    return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`
  }
}

/** JSON has no −∞; OpenAI writes −9999 for a token that could not be chosen. */
export const finiteLogprob = (logprob: number): number => Math.max(-9999, logprob)

export const tokenTextOf = (model: TextModel, token: number): string => tokenText(model.tokenBytes(token))
