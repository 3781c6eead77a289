import type { MergeTable } from './merge-table.ts'
import type { TokenBuffer } from './token-buffer.ts'

/** How a word becomes the symbols that merging starts from. */
export interface SymbolRules {
  /** Tokens of single characters, by code point; `null` if every word starts as its bytes. */
  readonly characters: ReadonlyMap<number, number> | null
  /** Token of each byte (−1 for none), for characters without one; `null` without byte fallback. */
  readonly bytes: Int32Array | null
  /** Stands for what neither has; `null` drops it. */
  readonly unknown: number | null
  /** Whether a run of unknown characters is one token. */
  readonly fuseUnknown: boolean
  /** Words that are tokens as they stand, without merging; `null` if merging decides. */
  readonly wholeWords: ReadonlyMap<string, number> | null
}

const CACHED_WORDS = 16_384
const CACHED_LENGTH = 48
/** Symbols for which work space is kept between words. */
const KEPT_SYMBOLS = 65_536
/** Positions of symbols are the low digits of queue keys, ranks the high ones. */
const POSITIONS = 2 ** 26

const utf8 = new TextEncoder()

/**
 * Byte-pair encoding of words into token ids: the pair of neighbours with the lowest rank merges first, the leftmost
 * of equals. Takes O(n log n) for a word of n characters, so that a megabyte without a space is no attack.
 */
export class BytePairEncoder {
  readonly #rules: SymbolRules
  readonly #merges: MergeTable
  readonly #cache = new Map<string, Int32Array>()
  #work = new WorkSpace(256)

  constructor(rules: SymbolRules, merges: MergeTable) {
    this.#rules = rules
    this.#merges = merges
  }

  encodeWord(word: string, out: TokenBuffer): void {
    const whole = this.#rules.wholeWords?.get(word)
    if (whole !== undefined) {
      out.push(whole)
      return
    }
    if (word.length > CACHED_LENGTH) {
      this.#merge(word, out)
      return
    }
    const cached = this.#cache.get(word)
    if (cached !== undefined) {
      out.pushAll(cached)
      return
    }
    const first = out.length
    this.#merge(word, out)
    if (this.#cache.size === CACHED_WORDS) this.#cache.clear()
    this.#cache.set(detached(word), out.slice(first))
  }

  #merge(word: string, out: TokenBuffer): void {
    // With byte fallback a UTF-16 code unit may become three symbols, one for each byte.
    const work = this.#workSpace(this.#rules.bytes === null ? word.length : word.length * 3)
    const count = this.#readSymbols(word, work.symbols)
    work.begin(count)
    for (let i = 0; i + 1 < count; i += 1) this.#offer(work, i)
    for (let key = work.pop(); key >= 0; key = work.pop()) {
      const at = key % POSITIONS
      const after = work.next[at]!
      if (work.symbols[at] === -1 || after >= count) continue
      const merge = this.#merges.find(work.symbols[at]!, work.symbols[after]!)
      // The pair may have changed since it was offered; then its new self has its own offer.
      if (merge < 0 || this.#merges.rank(merge) !== Math.floor(key / POSITIONS)) continue
      work.join(at, after, this.#merges.result(merge))
      if (work.next[at]! < count) this.#offer(work, at)
      if (work.previous[at]! >= 0) this.#offer(work, work.previous[at]!)
    }
    for (let at = 0; at < count; at = work.next[at]!) out.push(work.symbols[at]!)
  }

  #offer(work: WorkSpace, at: number): void {
    const merge = this.#merges.find(work.symbols[at]!, work.symbols[work.next[at]!]!)
    if (merge >= 0) work.push(this.#merges.rank(merge) * POSITIONS + at)
  }

  #readSymbols(word: string, symbols: Int32Array): number {
    const { characters, bytes } = this.#rules
    if (characters === null) return bytes === null ? 0 : this.#readBytes(word, bytes, symbols, 0)
    let count = 0
    for (let i = 0; i < word.length; ) {
      const codePoint = word.codePointAt(i)!
      const end = i + (codePoint > 0xffff ? 2 : 1)
      const token = characters.get(codePoint)
      if (token !== undefined) {
        symbols[count] = token
        count += 1
      } else if (bytes !== null) {
        count = this.#readBytes(word.slice(i, end), bytes, symbols, count)
      } else {
        count = this.#readUnknown(symbols, count)
      }
      i = end
    }
    return count
  }

  #readBytes(text: string, bytes: Int32Array, symbols: Int32Array, count: number): number {
    let end = count
    for (const byte of utf8.encode(text)) {
      const token = bytes[byte]!
      if (token < 0) end = this.#readUnknown(symbols, end)
      else {
        symbols[end] = token
        end += 1
      }
    }
    return end
  }

  #readUnknown(symbols: Int32Array, count: number): number {
    const { unknown, fuseUnknown } = this.#rules
    if (unknown === null || (fuseUnknown && count > 0 && symbols[count - 1] === unknown)) return count
    symbols[count] = unknown
    return count + 1
  }

  #workSpace(symbols: number): WorkSpace {
    if (symbols <= this.#work.capacity) return this.#work
    const larger = new WorkSpace(Math.max(symbols, this.#work.capacity * 2))
    if (symbols <= KEPT_SYMBOLS) this.#work = larger
    return larger
  }
}

/** A copy that does not keep the long text alive of which the word is a slice. */
function detached(word: string): string {
  return ` ${word}`.slice(1)
}

/** Symbols of one word as a linked list, and a queue of merges, smallest key first. */
class WorkSpace {
  readonly symbols: Int32Array
  readonly next: Int32Array
  readonly previous: Int32Array
  /** n - 1 pairs are offered at first; each of at most n - 1 merges takes one offer out and adds up to two. */
  readonly #heap: Float64Array
  #size = 0

  constructor(readonly capacity: number) {
    this.symbols = new Int32Array(capacity)
    this.next = new Int32Array(capacity)
    this.previous = new Int32Array(capacity)
    this.#heap = new Float64Array(capacity * 2)
  }

  begin(count: number): void {
    this.#size = 0
    for (let i = 0; i < count; i += 1) {
      this.next[i] = i + 1
      this.previous[i] = i - 1
    }
  }

  /** Replaces two neighbours by one symbol at the place of the first. */
  join(at: number, after: number, symbol: number): void {
    this.symbols[at] = symbol
    this.symbols[after] = -1
    const following = this.next[after]!
    this.next[at] = following
    if (following < this.capacity) this.previous[following] = at
  }

  push(key: number): void {
    const heap = this.#heap
    let at = this.#size
    this.#size += 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent]! <= key) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = key
  }

  /** The smallest key, removed; −1 when there is none. */
  pop(): number {
    if (this.#size === 0) return -1
    const heap = this.#heap
    const top = heap[0]!
    this.#size -= 1
    const moved = heap[this.#size]!
    let at = 0
    for (let child = 1; child < this.#size; child = at * 2 + 1) {
      if (child + 1 < this.#size && heap[child + 1]! < heap[child]!) child += 1
      if (heap[child]! >= moved) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = moved
    return top
  }
}
