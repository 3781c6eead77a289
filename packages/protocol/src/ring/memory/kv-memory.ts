import { PagePool } from '@deos/domain'
import { type PrefixNode, PrefixTree } from './prefix-tree.ts'
import type { TokenSequence } from './token-sequence.ts'

/** How much of a prompt has its KV in the cache. */
export interface CachedPrefix {
  /** Its last block; `null` if nothing is cached. */
  readonly node: PrefixNode | null
  readonly blocks: number
  /** Blocks that no open session uses, and that could have been given up instead. */
  readonly idle: number
}

/** The pages of an open session, and how far the cache knows them. */
export interface Holding {
  /** In order of position. */
  readonly pages: number[]
  /** The first of them, which came from the cache. */
  readonly shared: readonly number[]
  /** Last block of the session that is in the cache with the session's own page; `null` without a scope. */
  node: PrefixNode | null
  /** Another open session computed the same block: its page is in the cache, and this session's stay its own. */
  parted: boolean
}

export interface KvMemoryShape {
  readonly kvPages: number
  readonly pageTokens: number
}

const nothingCached: CachedPrefix = { node: null, blocks: 0, idle: 0 }

/**
 * The KV pages of a ring: one numbering for all stages. A page is free, or held by open sessions, or held by the
 * cache of prefixes alone; only the last kind is given up when somebody needs a page.
 */
export class KvMemory {
  readonly #pool: PagePool
  readonly #tree: PrefixTree
  #evictions = 0

  constructor(private readonly shape: KvMemoryShape) {
    this.#pool = new PagePool(shape.kvPages)
    this.#tree = new PrefixTree(shape.pageTokens)
  }

  get free(): number {
    return this.#pool.free
  }

  /** Pages that only the cache holds. */
  get cached(): number {
    return this.#tree.idle
  }

  /** Pages that a session could have. */
  get available(): number {
    return this.free + this.cached
  }

  get held(): number {
    return this.shape.kvPages - this.available
  }

  get evictions(): number {
    return this.#evictions
  }

  /** Pages that `length` positions take. */
  pagesFor(length: number): number {
    return Math.ceil(length / this.shape.pageTokens)
  }

  /** The longest cached prefix that leaves at least one token to compute, so that there is something to sample from. */
  lookUp(scope: string | null, tokens: TokenSequence): CachedPrefix {
    if (scope === null) return nothingCached
    const blocks = Math.floor((tokens.length - 1) / this.shape.pageTokens)
    const node = this.#tree.find(scope, tokens, blocks)
    if (node === null) return nothingCached
    let idle = 0
    for (let at = node; at.parent !== null && at.users === 0; at = at.parent) idle += 1
    return { node, blocks: node.depth, idle }
  }

  /** Pages for a whole prompt, or `null` if they cannot be had. */
  open(scope: string | null, prefix: CachedPrefix, length: number): Holding | null {
    const wanted = this.pagesFor(length) - prefix.blocks
    if (wanted > this.available - prefix.idle) return null
    const node = prefix.node ?? (scope === null ? null : this.#tree.root(scope))
    if (node !== null) this.#tree.enter(node)
    const shared: number[] = []
    for (let at = prefix.node; at !== null && at.parent !== null; at = at.parent) shared.push(at.page)
    shared.reverse()
    this.#pool.retain(shared)
    const pages = [...shared, ...this.#take(wanted, shared.at(-1))]
    return { pages, shared, node, parted: false }
  }

  /** One page more, or `false` if there is none. */
  extend(holding: Holding): boolean {
    if (this.available === 0) return false
    holding.pages.push(...this.#take(1, holding.pages.at(-1)))
    return true
  }

  /** The first `length` positions are computed by steps that are under way: later steps may read what they store. */
  stored(holding: Holding, tokens: TokenSequence, length: number): void {
    const { pageTokens } = this.shape
    while (holding.node !== null && !holding.parted) {
      if ((holding.node.depth + 1) * pageTokens > length) return
      this.#share(holding, holding.node, tokens)
    }
  }

  /** The session is over; its full blocks stay in the cache. */
  close(holding: Holding, tokens: TokenSequence, length: number): void {
    const { node, pages } = holding
    if (node !== null) this.#tree.leave(this.#bequeath(node, pages, tokens, length))
    this.#pool.release(pages)
    holding.pages.length = 0
    holding.node = null
  }

  /** Counts for one session after another how many more pages were available if it closed too. */
  freedBy(): (holding: Holding) => number {
    const gone = new Map<PrefixNode, number>()
    return ({ node, pages }) => {
      let freed = pages.length - (node?.depth ?? 0)
      for (let at = node; at !== null && at.parent !== null; at = at.parent) {
        const users = (gone.get(at) ?? 0) + 1
        gone.set(at, users)
        if (users === at.users) freed += 1
      }
      return freed
    }
  }

  /**
   * Every page is free, held by these, or cached, and its references say so.
   *
   * @throws Error if not: a bug
   */
  verify(holdings: Iterable<Holding>): void {
    this.#pool.verify()
    const references = new Map<number, number>()
    const count = (page: number): void => void references.set(page, (references.get(page) ?? 0) + 1)
    let users = 0
    for (const { pages, node } of holdings) {
      pages.forEach(count)
      if (node !== null) users += 1
    }
    for (const root of this.#tree.roots()) {
      users -= root.users
      if (root.users === 0 && root.children === 0) throw new Error(`Nothing is left of scope ${root.scope}.`)
    }
    if (users !== 0) throw new Error(`${users} more sessions are open than the cache knows of.`)
    const open = references.size
    let blocks = 0
    for (const node of this.#tree.nodes()) {
      if (node.users === 0 && references.has(node.page))
        throw new Error(`Page ${node.page} has hidden users.`)
      if (node.parent!.users < node.users) throw new Error(`Block ${node.id} has users its parent lacks.`)
      count(node.page)
      blocks += 1
    }
    if (blocks !== this.#tree.pages)
      throw new Error(`${blocks} blocks are cached, ${this.#tree.pages} counted.`)
    if (open !== this.held) throw new Error(`${open} pages are held, ${this.held} counted.`)
    for (let page = 0; page < this.shape.kvPages; page++) {
      const expected = references.get(page) ?? 0
      const actual = this.#pool.references(page)
      if (actual !== expected) throw new Error(`Page ${page} has ${actual} references, not ${expected}.`)
    }
  }

  /** Puts the session's next block into the cache, unless another one's is in use there. */
  #share(holding: Holding, node: PrefixNode, tokens: TokenSequence): void {
    const page = holding.pages[node.depth]!
    const known = this.#tree.child(node, tokens)
    if (known === null) {
      this.#pool.retain([page])
      holding.node = this.#tree.add(node, tokens, page)
    } else if (known.users === 0) {
      // The same content twice: keep the page that is in use anyway.
      this.#pool.retain([page])
      this.#pool.release([known.page])
      known.page = page
      this.#tree.step(known)
      holding.node = known
    } else holding.parted = true
  }

  /** Goes on to the last full block, adding what is not known; returns that block. */
  #bequeath(from: PrefixNode, pages: readonly number[], tokens: TokenSequence, length: number): PrefixNode {
    let node = from
    while ((node.depth + 1) * this.shape.pageTokens <= length) {
      const known = this.#tree.child(node, tokens)
      const page = pages[node.depth]!
      if (known === null) {
        this.#pool.retain([page])
        node = this.#tree.add(node, tokens, page)
      } else {
        this.#tree.step(known)
        node = known
      }
    }
    return node
  }

  /**
   * There are so many, if cached ones are given up; then some more at once, so that the next ones are near: looking
   * for the only free page of a large pool takes long.
   */
  #take(count: number, after: number | undefined): readonly number[] {
    const enough = this.#pool.free >= count ? 0 : count + (this.shape.kvPages >> 6)
    while (this.#pool.free < enough) {
      const page = this.#tree.evict()
      if (page === null) break
      this.#pool.release([page])
      this.#evictions += 1
    }
    this.#tree.grow(count / this.shape.kvPages)
    const pages = this.#pool.take(count, after)
    if (pages === null) throw new Error(`${count} pages were promised, ${this.#pool.free} are there.`)
    return pages
  }
}
