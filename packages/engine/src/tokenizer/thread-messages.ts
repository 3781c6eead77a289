import type { TokenizerDefinition } from './definition.ts'
import type { EncodeOptions } from './tokenizer.ts'

/** What the pool gives a thread when it starts it. */
export interface ThreadData {
  readonly definition: TokenizerDefinition
}

export interface ThreadRequest {
  readonly id: number
  readonly text: string
  readonly options: EncodeOptions
}

export type ThreadReply =
  | { readonly id: number; readonly ids: Int32Array }
  | { readonly id: number; readonly error: string }
