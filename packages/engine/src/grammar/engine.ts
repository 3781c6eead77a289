import { GrammarError } from './errors.ts'
import { grammarExpression } from './grammar-expression.ts'
import { GrammarSession } from './session.ts'
import { parseGrammarSpec } from './spec.ts'
import { TokenMasks, type TokenSet } from './token-masks.ts'
import { buildTokenTrie } from './token-trie.ts'
import type { GrammarVocabulary } from './vocabulary.ts'

export interface GrammarEngineOptions {
  /** Compiled grammars kept; the one unused longest goes first. Default 64. */
  readonly maxGrammars?: number
  /** Memory for the masks kept with each grammar. Default 4 MiB. */
  readonly maskBytesPerGrammar?: number
}

/** Compiled grammars and the answers under way. Synchronous: it belongs on a thread of its own. */
export class GrammarEngine {
  readonly #set: TokenSet
  readonly #maxGrammars: number
  readonly #maskBytes: number
  /** By text of the specification, least recently used first. */
  readonly #grammars = new Map<string, TokenMasks>()
  readonly #sessions = new Map<number, GrammarSession>()

  /** @throws GrammarError if the model has no stop token, so that no answer could end */
  constructor(vocabulary: GrammarVocabulary, options: GrammarEngineOptions = {}) {
    if (vocabulary.stopTokens.length === 0)
      throw new GrammarError(
        'The model names no token that ends an answer.',
        'Set eos_token_id in its configuration.',
      )
    this.#set = { vocabulary, trie: buildTokenTrie(vocabulary) }
    this.#maxGrammars = options.maxGrammars ?? 64
    this.#maskBytes = options.maskBytesPerGrammar ?? 4 * 1024 * 1024
  }

  /**
   * @param maxTokens - that an answer may have
   * @throws GrammarError if it is not understood, cannot be enforced, or no text satisfies it; GrammarLimitError if
   * not even the shortest text fits
   */
  prepare(specText: string, maxTokens: number): void {
    const masks = this.#compiled(specText)
    this.#begin(masks, maxTokens)
    masks.warm()
  }

  /**
   * @param generated - tokens of the answer so far, for one that is taken up again
   * @param maxTokens - of the answer in all
   * @throws GrammarError, GrammarLimitError
   */
  open(key: number, specText: string, generated: Int32Array, maxTokens: number): void {
    const session = this.#begin(this.#compiled(specText), maxTokens)
    for (const token of generated) session.accept(token)
    this.#sessions.set(key, session)
  }

  /** @throws GrammarError if the grammar becomes too ambiguous here */
  mask(key: number): Uint32Array {
    return this.#session(key).mask()
  }

  /** @throws GrammarError if the grammar does not allow the token */
  accept(key: number, token: number): void {
    this.#session(key).accept(token)
  }

  close(key: number): void {
    this.#sessions.delete(key)
  }

  /** @throws GrammarLimitError */
  #begin(masks: TokenMasks, maxTokens: number): GrammarSession {
    return new GrammarSession(masks, this.#set.vocabulary.stopTokens, maxTokens)
  }

  #session(key: number): GrammarSession {
    const session = this.#sessions.get(key)
    if (!session) throw new Error(`No grammar session ${key} is open.`)
    return session
  }

  #compiled(specText: string): TokenMasks {
    let masks = this.#grammars.get(specText)
    if (masks) this.#grammars.delete(specText)
    else masks = new TokenMasks(grammarExpression(parseGrammarSpec(specText)), this.#set, this.#maskBytes)
    this.#grammars.set(specText, masks)
    if (this.#grammars.size > this.#maxGrammars) this.#grammars.delete(this.#grammars.keys().next().value!)
    return masks
  }
}
