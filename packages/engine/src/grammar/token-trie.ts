import type { GrammarVocabulary } from './vocabulary.ts'

/**
 * All tokens that write text, as a tree of bytes in depth-first order: a node's first child follows it, and `skip`
 * leads past all that begins as it does. Tokens that write nothing, control tokens and stop tokens are not in it.
 */
export interface TokenTrie {
  readonly byte: Uint8Array
  /** 0 for the first byte of a token. */
  readonly depth: Uint16Array
  /** The token that ends at this node, or −1. */
  readonly token: Int32Array
  readonly skip: Int32Array
  /** Further tokens that write the same bytes as the one named in `token`. */
  readonly twins: ReadonlyMap<number, readonly number[]>
  /** Tokens of a single byte, by byte; −1 where there is none. */
  readonly tokenOfByte: Int32Array
  /** Tokens of more bytes than `longTokenBytes`, longest first: few enough to be looked at one by one. */
  readonly longTokens: Int32Array
  readonly longTokenBytes: number
}

const fewTokens = 1024

export function buildTokenTrie(vocabulary: GrammarVocabulary): TokenTrie {
  const { size, bytes, offsets, special } = vocabulary
  const stops = new Set(vocabulary.stopTokens)
  const ids: number[] = []
  for (let id = 0; id < size; id += 1)
    if (offsets[id + 1]! > offsets[id]! && !special[id] && !stops.has(id)) ids.push(id)
  ids.sort((a, b) => compareTokens(vocabulary, a, b) || a - b)

  const nodes = 1 + ids.reduce((sum, id) => sum + offsets[id + 1]! - offsets[id]!, 0)
  const byte = new Uint8Array(nodes)
  const depth = new Uint16Array(nodes)
  const token = new Int32Array(nodes).fill(-1)
  const skip = new Int32Array(nodes)
  const twins = new Map<number, number[]>()
  const tokenOfByte = new Int32Array(256).fill(-1)
  const path: number[] = []
  let count = 0
  let previous = -1
  const closeTo = (length: number): void => {
    while (path.length > length) skip[path.pop()!] = count
  }
  for (const id of ids) {
    const start = offsets[id]!
    const length = offsets[id + 1]! - start
    if (previous >= 0 && compareTokens(vocabulary, previous, id) === 0) {
      const known = twins.get(previous)
      if (known) known.push(id)
      else twins.set(previous, [id])
      continue
    }
    let shared = 0
    while (shared < path.length && shared < length && byte[path[shared]!] === bytes[start + shared])
      shared += 1
    closeTo(shared)
    for (let i = shared; i < length; i += 1) {
      byte[count] = bytes[start + i]!
      depth[count] = i
      path.push(count)
      count += 1
    }
    token[path.at(-1)!] = id
    if (length === 1) tokenOfByte[bytes[start]!] = id
    previous = id
  }
  closeTo(0)
  return {
    byte: byte.slice(0, count),
    depth: depth.slice(0, count),
    token: token.slice(0, count),
    skip: skip.slice(0, count),
    twins,
    tokenOfByte,
    ...findLongTokens(ids, offsets),
  }
}

function findLongTokens(
  ids: readonly number[],
  offsets: Uint32Array,
): { longTokens: Int32Array; longTokenBytes: number } {
  const lengthOf = (id: number) => offsets[id + 1]! - offsets[id]!
  const byLength = [...ids].sort((a, b) => lengthOf(b) - lengthOf(a))
  const longTokenBytes = byLength.length > fewTokens ? lengthOf(byLength[fewTokens]!) : 0
  return {
    longTokens: Int32Array.from(byLength.filter((id) => lengthOf(id) > longTokenBytes)),
    longTokenBytes,
  }
}

function compareTokens({ bytes, offsets }: GrammarVocabulary, a: number, b: number): number {
  const startA = offsets[a]!
  const startB = offsets[b]!
  const lengthA = offsets[a + 1]! - startA
  const lengthB = offsets[b + 1]! - startB
  const common = Math.min(lengthA, lengthB)
  for (let i = 0; i < common; i += 1) {
    const difference = bytes[startA + i]! - bytes[startB + i]!
    if (difference !== 0) return difference
  }
  return lengthA - lengthB
}
