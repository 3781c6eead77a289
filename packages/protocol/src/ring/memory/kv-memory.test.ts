import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Holding, KvMemory } from './kv-memory.ts'
import { TokenSequence } from './token-sequence.ts'

const shape = { kvPages: 8, pageTokens: 2 }
const text = (...ids: readonly number[]): TokenSequence => new TokenSequence(Int32Array.from(ids))

function open(memory: KvMemory, tokens: TokenSequence, scope: string | null = 's'): Holding {
  const holding = memory.open(scope, memory.lookUp(scope, tokens), tokens.length)
  if (holding === null) throw new Error('no room')
  return holding
}

/** Computes a text and leaves it in the cache. */
function leave(memory: KvMemory, tokens: TokenSequence, scope = 's'): void {
  const holding = open(memory, tokens, scope)
  memory.stored(holding, tokens, tokens.length)
  memory.close(holding, tokens, tokens.length)
}

const cachedBlocks = (memory: KvMemory, tokens: TokenSequence, scope = 's'): number =>
  memory.lookUp(scope, tokens).blocks

describe('sharing', () => {
  test('only full blocks whose steps are launched are found', () => {
    const memory = new KvMemory(shape)
    const tokens = text(1, 2, 3, 4, 5)
    const holding = open(memory, tokens)
    memory.stored(holding, tokens, 3)
    expect(cachedBlocks(memory, text(1, 2, 3, 4, 9))).toBe(1)
    memory.stored(holding, tokens, 5)
    expect(cachedBlocks(memory, text(1, 2, 3, 4, 5, 9))).toBe(2)
    expect(memory).toMatchObject({ free: 5, cached: 0, held: 3 })
  })

  test('sessions hold the same pages, which return when the last one closes', () => {
    const memory = new KvMemory(shape)
    const tokens = text(1, 2, 3, 4, 5)
    const first = open(memory, tokens)
    memory.stored(first, tokens, 5)
    const second = open(memory, tokens)
    expect(second.shared).toEqual(first.pages.slice(0, 2))
    expect(memory.held).toBe(4)
    memory.close(first, tokens, 5)
    expect(memory).toMatchObject({ held: 3, cached: 0 })
    memory.close(second, tokens, 5)
    expect(memory).toMatchObject({ held: 0, cached: 2, free: 6 })
    memory.verify([])
  })

  test('what two sessions computed at the same time is kept once', () => {
    const memory = new KvMemory(shape)
    const tokens = text(1, 2, 3, 4)
    const [first, second] = [open(memory, tokens), open(memory, tokens)]
    memory.stored(first, tokens, 2)
    memory.stored(second, tokens, 4)
    memory.verify([first, second])
    memory.close(first, tokens, 2)
    memory.close(second, tokens, 4)
    memory.verify([])
    expect(memory).toMatchObject({ cached: 2, free: 6 })
    expect(cachedBlocks(memory, text(1, 2, 3, 4, 5))).toBe(2)
  })

  test('of a block that nobody uses, the page in use anyway is kept', () => {
    const memory = new KvMemory(shape)
    leave(memory, text(1, 2))
    const tokens = text(1, 2)
    const holding = open(memory, tokens)
    expect(holding.shared).toEqual([])
    memory.stored(holding, tokens, 2)
    expect(memory).toMatchObject({ held: 1, cached: 0, free: 7 })
    memory.verify([holding])
  })

  test('without a scope nothing is found or left', () => {
    const memory = new KvMemory(shape)
    leave(memory, text(1, 2, 3))
    const tokens = text(1, 2, 3)
    const holding = open(memory, tokens, null)
    memory.stored(holding, tokens, 3)
    memory.close(holding, tokens, 3)
    expect(memory).toMatchObject({ cached: 1, free: 7 })
  })
})

describe('eviction', () => {
  test('takes the ends of texts before their beginnings', () => {
    const memory = new KvMemory({ kvPages: 4, pageTokens: 2 })
    leave(memory, text(1, 2, 3, 4, 5, 6, 7, 8))
    open(memory, text(9, 9), null)
    expect(cachedBlocks(memory, text(1, 2, 3, 4, 5, 6, 7, 8, 9))).toBe(3)
    expect(memory.evictions).toBe(1)
  })

  test('keeps what is used often over what was used once and later', () => {
    const memory = new KvMemory({ kvPages: 4, pageTokens: 2 })
    for (let count = 0; count < 4; count++) leave(memory, text(1, 2, 3))
    leave(memory, text(4, 5))
    leave(memory, text(6, 7))
    open(memory, text(9, 9, 9, 9, 9, 9), null)
    expect(cachedBlocks(memory, text(1, 2, 3))).toBe(1)
    expect([text(4, 5, 0), text(6, 7, 0)].map((tokens) => cachedBlocks(memory, tokens))).toEqual([0, 0])
  })

  test('forgets in time what once was popular', () => {
    const memory = new KvMemory({ kvPages: 4, pageTokens: 2 })
    for (let count = 0; count < 4; count++) leave(memory, text(1, 2, 3))
    for (let other = 10; other < 40; other += 2) leave(memory, text(other, other + 1, 0))
    expect(cachedBlocks(memory, text(1, 2, 3))).toBe(0)
  })

  test('of equals, the block that costs more to compute stays', () => {
    const memory = new KvMemory({ kvPages: 6_000, pageTokens: 2 })
    const long = Array.from({ length: 10_000 }, (_, index) => index)
    const holdings = [text(...long), text(1, 2)].map((tokens) => ({ tokens, holding: open(memory, tokens) }))
    for (const { tokens, holding } of holdings) memory.close(holding, tokens, tokens.length)
    open(memory, text(...new Array<number>(2_000).fill(7)), null)
    expect(cachedBlocks(memory, text(1, 2, 3))).toBe(0)
    // A sixty-fourth of a large pool is freed at once.
    expect(memory.evictions).toBe(1 + 93)
    expect(cachedBlocks(memory, text(...long, 1))).toBe(5_000 - 93)
  })

  test('never takes what a session reads, and says when nothing is left', () => {
    const memory = new KvMemory({ kvPages: 3, pageTokens: 2 })
    leave(memory, text(1, 2, 3, 4))
    const tokens = text(1, 2, 3, 4, 5)
    const holding = open(memory, tokens)
    expect(memory.available).toBe(0)
    expect(memory.extend(holding)).toBe(false)
    expect(memory.open('s', memory.lookUp('s', tokens), tokens.length)).toBeNull()
    memory.verify([holding])
  })
})

test('freedBy() tells what becomes available as sessions close one after another', () => {
  const memory = new KvMemory(shape)
  const tokens = text(1, 2, 3, 4, 5)
  const first = open(memory, tokens)
  memory.stored(first, tokens, 5)
  const second = open(memory, tokens)
  const freed = memory.freedBy()
  expect([freed(first), freed(second)]).toEqual([1, 3])
  const before = memory.available
  memory.close(first, tokens, 5)
  memory.close(second, tokens, 5)
  expect(memory.available - before).toBe(4)
})

test('whatever sessions do, every page is free, held or cached, and holds what it stands for', () => {
  const actions = fc.array(
    fc.record({
      kind: fc.constantFrom('open', 'open', 'store', 'store', 'grow', 'close'),
      pick: fc.nat(5),
      tokens: fc.array(fc.nat(1), { minLength: 1, maxLength: 12 }),
      scope: fc.constantFrom('a', 'a', 'b', null),
    }),
    { maxLength: 120, size: 'max' },
  )
  fc.assert(
    fc.property(
      actions,
      fc.integer({ min: 3, max: 14 }),
      fc.integer({ min: 1, max: 3 }),
      (list, kvPages, pageTokens) => {
        const memory = new KvMemory({ kvPages, pageTokens })
        const content = new Map<number, string>()
        const live: { scope: string | null; tokens: TokenSequence; holding: Holding; stored: number }[] = []
        const prefix = (scope: string | null, tokens: TokenSequence, block: number): string =>
          `${scope}:${tokens.view(0, (block + 1) * pageTokens).join()}`
        for (const { kind, pick, tokens: ids, scope } of list) {
          const session = live[pick % Math.max(1, live.length)]
          if (kind === 'open') {
            const tokens = text(...ids)
            const available = memory.available
            const found = memory.lookUp(scope, tokens)
            const holding = memory.open(scope, found, tokens.length)
            const needed = Math.ceil(ids.length / pageTokens) - found.blocks + found.idle
            expect(holding === null).toBe(needed > available)
            if (holding === null) continue
            expect(memory.available).toBe(available - needed)
            holding.shared.forEach((page, block) => {
              expect(content.get(page)).toBe(prefix(scope, tokens, block))
            })
            live.push({ scope, tokens, holding, stored: holding.shared.length * pageTokens })
          } else if (session === undefined) continue
          else if (kind === 'store') {
            const { scope, tokens, holding } = session
            session.stored = Math.min(tokens.length, session.stored + 2)
            for (let block = holding.shared.length; (block + 1) * pageTokens <= session.stored; block++) {
              content.set(holding.pages[block]!, prefix(scope, tokens, block))
            }
            memory.stored(holding, tokens, session.stored)
          } else if (kind === 'grow') {
            session.tokens.push(ids[0]!)
            const full = session.holding.pages.length * pageTokens < session.tokens.length
            if (full && !memory.extend(session.holding)) {
              expect(memory.available).toBe(0)
              live.splice(live.indexOf(session), 1)
              memory.close(session.holding, session.tokens, session.stored)
            }
          } else {
            live.splice(live.indexOf(session), 1)
            memory.close(session.holding, session.tokens, session.stored)
          }
          memory.verify(live.map(({ holding }) => holding))
          const own = live.flatMap(({ holding }) => holding.pages.slice(holding.shared.length))
          expect(new Set(own).size).toBe(own.length)
        }
      },
    ),
    { numRuns: 200 },
  )
})
