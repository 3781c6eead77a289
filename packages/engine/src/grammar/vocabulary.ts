import type { Tokenizer } from '../tokenizer/tokenizer.ts'

/** What every token writes, as plain data that a thread can be given. */
export interface GrammarVocabulary {
  /** Logits of the model; ids beyond the tokenizer's write nothing and are never allowed. */
  readonly size: number
  /** Bytes of all tokens, one after another; token `i` has those from `offsets[i]` to `offsets[i + 1]`. */
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly offsets: Uint32Array<ArrayBuffer>
  /** 1 for a control token, which is not text: its bytes are its spelling. */
  readonly special: Uint8Array<ArrayBuffer>
  /** Tokens that end a generation. */
  readonly stopTokens: readonly number[]
}

/**
 * @param size - logits of the model, which may be more than the tokenizer has tokens
 */
export function readVocabulary(
  tokenizer: Pick<Tokenizer, 'tokenBytes' | 'isSpecial' | 'stopTokens'>,
  size: number,
): GrammarVocabulary {
  const offsets = new Uint32Array(size + 1)
  for (let id = 0; id < size; id += 1) offsets[id + 1] = offsets[id]! + tokenizer.tokenBytes(id).length
  const bytes = new Uint8Array(offsets[size]!)
  const special = new Uint8Array(size)
  for (let id = 0; id < size; id += 1) {
    bytes.set(tokenizer.tokenBytes(id), offsets[id]!)
    special[id] = tokenizer.isSpecial(id) ? 1 : 0
  }
  return { size, bytes, offsets, special, stopTokens: tokenizer.stopTokens.filter((id) => id < size) }
}
