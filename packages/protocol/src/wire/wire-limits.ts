/** What one side accepts from the other. Lengths are checked before anything is allocated for them. */
export interface WireLimits {
  /** Bytes between header and payload. */
  readonly maxMetaBytes: number
  /** Raw bytes after the meta: hidden states or prompt tokens. */
  readonly maxPayloadBytes: number
  /** Sessions in one step. */
  readonly maxEntries: number
  /** Stop tokens, logit biases, log-probability alternatives or stage reports in one message. */
  readonly maxListItems: number
  /** UTF-8 bytes of an id. */
  readonly maxIdBytes: number
  /** UTF-8 bytes of a text for people. */
  readonly maxTextBytes: number
  /** UTF-8 bytes of a grammar. */
  readonly maxGrammarBytes: number
}

export const defaultWireLimits: WireLimits = {
  maxMetaBytes: 1024 * 1024,
  maxPayloadBytes: 64 * 1024 * 1024,
  maxEntries: 4096,
  maxListItems: 4096,
  maxIdBytes: 256,
  maxTextBytes: 4096,
  maxGrammarBytes: 512 * 1024,
}

/** Enough for a hello and nothing else: what a peer may send before it is known. */
export const helloWireLimits: WireLimits = {
  maxMetaBytes: 4096,
  maxPayloadBytes: 0,
  maxEntries: 0,
  maxListItems: 0,
  maxIdBytes: 256,
  maxTextBytes: 256,
  maxGrammarBytes: 0,
}
