import { type Evictable, EvictionOrder } from './eviction-order.ts'
import type { TokenSequence } from './token-sequence.ts'

/** One page full of tokens, after all those of the blocks above it. */
export interface PrefixNode extends Evictable {
  /** `null` for the root of a scope, which holds no page. */
  readonly parent: PrefixNode | null
  readonly scope: string
  /** Blocks from the root to here, this one included. */
  readonly depth: number
  readonly tokens: Int32Array
  readonly hash: number
  /** Where the KV of the block is. */
  page: number
  /** Open sessions whose pages lead through this block; what has users stays. */
  users: number
  children: number
  /** How often it was used, fading with age, as of `touched`. */
  weight: number
  touched: number
  removed: boolean
  /** Another block with the same hash. */
  next: PrefixNode | null
}

/** Positions after which reading the KV of earlier ones costs as much as all the rest of computing a token. */
const ATTENTION_SPAN = 8_192

/**
 * Which token blocks have their KV in which page: a tree for each scope, since KV is only the same after the same
 * tokens with the same adapter, and nobody may learn what others asked.
 *
 * What to give up is decided by cost × likelihood: a deep block costs more to compute again, and what was used often
 * and lately is likely to be used again. Likelihood halves whenever the whole pool has been handed out once
 * more. As everything fades alike, the order of two blocks changes only when one of them is used.
 */
export class PrefixTree {
  #age = 0
  #nextId = 1
  #pages = 0
  #idle = 0
  readonly #roots = new Map<string, PrefixNode>()
  /** All blocks by hash of parent and tokens; equal hashes are chained. */
  readonly #blocks = new Map<number, PrefixNode>()
  readonly #order = new EvictionOrder<PrefixNode>(
    (node) => !node.removed && node.users === 0 && node.children === 0,
  )

  constructor(private readonly blockTokens: number) {}

  /** Blocks in all, each with its page. */
  get pages(): number {
    return this.#pages
  }

  /** Blocks that no open session leads through: all of them can be evicted, leaves first. */
  get idle(): number {
    return this.#idle
  }

  /** @param turnovers - how much of the page pool was handed out since the last call, in pools */
  grow(turnovers: number): void {
    this.#age += turnovers
  }

  /** Where the blocks of a scope begin. */
  root(scope: string): PrefixNode {
    let root = this.#roots.get(scope)
    if (root === undefined) {
      root = this.#node(null, scope, noTokens, 0, -1)
      this.#roots.set(scope, root)
    }
    return root
  }

  /** The deepest block that these tokens begin with, at most `blocks` deep; `null` if there is none. */
  find(scope: string, tokens: TokenSequence, blocks: number): PrefixNode | null {
    let node = this.#roots.get(scope)
    if (node === undefined) return null
    while (node.depth < blocks) {
      const child = this.child(node, tokens)
      if (child === null) break
      node = child
    }
    return node.depth === 0 ? null : node
  }

  /** The block after `node` that holds these tokens' next block. */
  child(node: PrefixNode, tokens: TokenSequence): PrefixNode | null {
    const first = node.depth * this.blockTokens
    let block = this.#blocks.get(this.#hash(node, tokens, first)) ?? null
    while (block !== null && (block.parent !== node || !this.#holds(block, tokens, first))) block = block.next
    return block
  }

  /** Adds the next block of these tokens after `node`, for the session that leads there and now one block further. */
  add(node: PrefixNode, tokens: TokenSequence, page: number): PrefixNode {
    const first = node.depth * this.blockTokens
    const hash = this.#hash(node, tokens, first)
    const block = this.#node(node, node.scope, tokens.slice(first, first + this.blockTokens), hash, page)
    block.users = 1
    block.next = this.#blocks.get(hash) ?? null
    this.#blocks.set(hash, block)
    node.children += 1
    this.#pages += 1
    this.#value(block, 1)
    return block
  }

  /** A session that leads to the block above leads to this one too. */
  step(node: PrefixNode): void {
    if (node.users === 0 && node.parent !== null) this.#idle -= 1
    node.users += 1
  }

  /** An open session leads to this block, which counts as a use of all blocks above. */
  enter(node: PrefixNode): void {
    for (let at: PrefixNode | null = node; at !== null; at = at.parent) {
      this.step(at)
      if (at.parent !== null) this.#value(at, this.#weight(at) + 1)
    }
  }

  /** A session that led to this block has closed. */
  leave(node: PrefixNode): void {
    for (let at: PrefixNode | null = node; at !== null; at = at.parent) {
      at.users -= 1
      if (at.users > 0) continue
      if (at.parent === null) {
        this.#dropRoot(at)
        continue
      }
      this.#idle += 1
      this.#value(at, Math.max(1, this.#weight(at)))
      if (at.children === 0) this.#order.add(at)
    }
  }

  /** Forgets the block least worth keeping and returns its page; `null` if every block leads to an open session. */
  evict(): number | null {
    const node = this.#order.next()
    if (node === null) return null
    this.#unlink(node)
    node.removed = true
    this.#pages -= 1
    this.#idle -= 1
    const parent = node.parent!
    parent.children -= 1
    if (parent.parent === null) this.#dropRoot(parent)
    else if (parent.users === 0 && parent.children === 0) this.#order.add(parent)
    return node.page
  }

  /** Where the scopes begin that have blocks or open sessions. */
  roots(): Iterable<PrefixNode> {
    return this.#roots.values()
  }

  /** All blocks. */
  *nodes(): Iterable<PrefixNode> {
    for (const head of this.#blocks.values()) {
      for (let node: PrefixNode | null = head; node !== null; node = node.next) yield node
    }
  }

  #node(
    parent: PrefixNode | null,
    scope: string,
    tokens: Int32Array,
    hash: number,
    page: number,
  ): PrefixNode {
    return {
      id: this.#nextId++,
      parent,
      scope,
      depth: parent === null ? 0 : parent.depth + 1,
      tokens,
      hash,
      page,
      users: 0,
      children: 0,
      weight: 0,
      touched: this.#age,
      worth: 0,
      queuedWorth: Number.NaN,
      removed: false,
      next: null,
    }
  }

  #unlink(node: PrefixNode): void {
    let at = this.#blocks.get(node.hash)
    if (at === node) {
      if (node.next === null) this.#blocks.delete(node.hash)
      else this.#blocks.set(node.hash, node.next)
      return
    }
    while (at !== undefined && at.next !== node) at = at.next ?? undefined
    if (at !== undefined) at.next = node.next
  }

  #dropRoot(root: PrefixNode): void {
    if (root.users === 0 && root.children === 0) this.#roots.delete(root.scope)
  }

  #weight(node: PrefixNode): number {
    return node.weight * 2 ** (node.touched - this.#age)
  }

  /** Worth is a logarithm as of age 0, so that it can be compared whenever it was computed. */
  #value(node: PrefixNode, weight: number): void {
    const cost = this.blockTokens * (1 + (node.depth * this.blockTokens) / ATTENTION_SPAN)
    node.weight = weight
    node.touched = this.#age
    node.worth = Math.log2(cost * weight) + this.#age
  }

  #hash(parent: PrefixNode, tokens: TokenSequence, first: number): number {
    let hash = Math.imul(parent.id, 0x9e3779b1)
    for (let index = first; index < first + this.blockTokens; index++) {
      hash = Math.imul(hash ^ tokens.at(index), 0x85ebca6b)
      hash ^= hash >>> 15
    }
    return hash
  }

  #holds(node: PrefixNode, tokens: TokenSequence, first: number): boolean {
    for (let index = 0; index < this.blockTokens; index++) {
      if (node.tokens[index] !== tokens.at(first + index)) return false
    }
    return true
  }
}

const noTokens = new Int32Array(0)
