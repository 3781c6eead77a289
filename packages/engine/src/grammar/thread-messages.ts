import type { GrammarEngineOptions } from './engine.ts'
import { GrammarError, GrammarLimitError } from './errors.ts'
import type { GrammarVocabulary } from './vocabulary.ts'

/** What the host gives a thread when it starts it. */
export interface GrammarThreadData {
  readonly vocabulary: GrammarVocabulary
  readonly options: GrammarEngineOptions
}

/** `accept` and `close` get no reply; what goes wrong with them shows at the next `mask`. */
export type GrammarRequest =
  | {
      readonly kind: 'prepare'
      readonly id: number
      readonly specText: string
      readonly maxTokens: number
    }
  | {
      readonly kind: 'open'
      readonly id: number
      readonly key: number
      readonly specText: string
      readonly generated: Int32Array
      readonly maxTokens: number
    }
  | { readonly kind: 'mask'; readonly id: number; readonly key: number }
  | { readonly kind: 'accept'; readonly key: number; readonly token: number }
  | { readonly kind: 'close'; readonly key: number }

export interface GrammarReply {
  readonly id: number
  /** For `mask` if nothing failed. */
  readonly mask?: Uint32Array
  readonly failure?: GrammarFailure
}

/** An error in a form that keeps its class across threads. */
export type GrammarFailure =
  | {
      readonly kind: 'grammar'
      readonly message: string
      readonly hint: string
      readonly path: string | null
    }
  | { readonly kind: 'limit'; readonly neededTokens: number; readonly availableTokens: number }
  | { readonly kind: 'other'; readonly message: string }

export function describeFailure(error: unknown): GrammarFailure {
  if (error instanceof GrammarError)
    return { kind: 'grammar', message: error.message, hint: error.hint, path: error.path }
  if (error instanceof GrammarLimitError)
    return { kind: 'limit', neededTokens: error.neededTokens, availableTokens: error.availableTokens }
  return { kind: 'other', message: error instanceof Error ? error.message : String(error) }
}

export function reviveFailure(failure: GrammarFailure): Error {
  switch (failure.kind) {
    case 'grammar':
      return new GrammarError(failure.message, failure.hint, failure.path)
    case 'limit':
      return new GrammarLimitError(failure.neededTokens, failure.availableTokens)
    case 'other':
      return new Error(failure.message)
  }
}
