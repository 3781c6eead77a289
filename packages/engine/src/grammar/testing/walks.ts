import { fileURLToPath } from 'node:url'
import { loadTokenizer } from '../../tokenizer/load.ts'
import type { Tokenizer } from '../../tokenizer/tokenizer.ts'
import { openModel } from '../../weights/open-model.ts'
import { GrammarEngine } from '../engine.ts'
import type { GrammarSpec } from '../spec.ts'
import { type GrammarVocabulary, readVocabulary } from '../vocabulary.ts'

export async function embeddedVocabulary(): Promise<{ tokenizer: Tokenizer; vocabulary: GrammarVocabulary }> {
  const source = await openModel(fileURLToPath(new URL('../../../../../models/deos-7m', import.meta.url)))
  const tokenizer = await loadTokenizer(source)
  return { tokenizer, vocabulary: readVocabulary(tokenizer, source.config.vocabSize) }
}

/** Picks one of so many allowed tokens, numbered upwards; `tokenAt` tells which token a number stands for. */
export type Choose = (count: number, tokenAt: (number: number) => number) => number

/** Every allowed token is equally likely. */
export function uniform(random: () => number): Choose {
  return (count, tokenAt) => tokenAt(Math.floor(random() * count))
}

/** Like a model: some tokens are far likelier than others, always the same ones. */
export function skewed(random: () => number): Choose {
  const liking = (token: number) => Math.imul(token, 2654435761) >>> 0
  return (count, tokenAt) => {
    let best = tokenAt(Math.floor(random() * count))
    for (let i = 0; i < 6; i += 1) {
      const token = tokenAt(Math.floor(random() * count))
      if (liking(token) > liking(best)) best = token
    }
    return best
  }
}

function countBits(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555)
  const nibbles = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333)
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

function tokenAt(mask: Uint32Array, number: number): number {
  let left = number
  for (let word = 0; ; word += 1) {
    const count = countBits(mask[word]!)
    if (left >= count) {
      left -= count
      continue
    }
    let rest = mask[word]!
    for (; left > 0; left -= 1) rest &= rest - 1
    return word * 32 + 31 - Math.clz32(rest & -rest)
  }
}

/** Samples until a stop token or the limit. */
export function sampleAnswer(
  engine: GrammarEngine,
  spec: unknown,
  options: { choose: Choose; maxTokens: number; stopTokens: readonly number[] },
): { tokens: number[]; stopped: boolean } {
  const { choose, maxTokens, stopTokens } = options
  engine.open(0, JSON.stringify(spec), new Int32Array(), maxTokens)
  const tokens: number[] = []
  while (tokens.length < maxTokens) {
    const mask = engine.mask(0)
    const count = mask.reduce((sum, word) => sum + countBits(word), 0)
    if (count === 0) throw new Error(`No token may follow ${tokens.join(' ')}.`)
    const token = choose(count, (number) => tokenAt(mask, number))
    engine.accept(0, token)
    if (stopTokens.includes(token)) return { tokens, stopped: true }
    tokens.push(token)
  }
  return { tokens, stopped: false }
}

/** A vocabulary of the 256 bytes, the given further tokens, control tokens, and a stop token last. */
export function smallVocabulary(
  further: readonly string[] = [],
  controls: readonly string[] = [],
): { vocabulary: GrammarVocabulary; stop: number } {
  const texts = [
    ...Array.from({ length: 256 }, (_, byte) => Buffer.of(byte)),
    ...[...further, ...controls, '<stop>'].map((text) => Buffer.from(text)),
  ]
  const offsets = new Uint32Array(texts.length + 1)
  for (const [id, text] of texts.entries()) offsets[id + 1] = offsets[id]! + text.length
  const stop = texts.length - 1
  const special = Uint8Array.from(texts, (_, id) => (id >= 256 + further.length ? 1 : 0))
  const bytes = new Uint8Array(Buffer.concat(texts))
  return { vocabulary: { size: texts.length, bytes, offsets, special, stopTokens: [stop] }, stop }
}

export function isAllowed(mask: Uint32Array, token: number): boolean {
  return ((mask[token >> 5]! >>> (token & 31)) & 1) === 1
}

/** Says of texts whether a grammar allows them, byte by byte. */
export class TextOracle {
  readonly #engine: GrammarEngine
  readonly #stop: number

  constructor() {
    const { vocabulary, stop } = smallVocabulary()
    this.#engine = new GrammarEngine(vocabulary, { maxGrammars: 4 })
    this.#stop = stop
  }

  /** @throws GrammarError */
  accepts(spec: GrammarSpec, text: string): boolean {
    this.#engine.open(0, JSON.stringify(spec), new Int32Array(), 1_000_000)
    for (const byte of Buffer.from(text)) {
      if (!isAllowed(this.#engine.mask(0), byte)) return false
      this.#engine.accept(0, byte)
    }
    return isAllowed(this.#engine.mask(0), this.#stop)
  }
}
