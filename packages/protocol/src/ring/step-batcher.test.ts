import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type BatchSession, StepBatcher } from './step-batcher.ts'

const session = (key: number, length: number): BatchSession => ({
  key,
  prompt: Int32Array.from({ length }, (_, index) => key * 100 + index),
  sent: 0,
  nextToken: 0,
  removed: false,
})

/** Sessions that have answered their prompt and wait to decode. */
function decoding(batcher: StepBatcher, count: number): readonly BatchSession[] {
  const sessions = Array.from({ length: count }, (_, key) => session(key, 1))
  for (const one of sessions) batcher.add(one)
  while (batcher.next(1_000) !== null);
  for (const one of sessions) batcher.advance(one, 7)
  return sessions
}

const sizes = (batcher: StepBatcher, steps: number): readonly number[] =>
  Array.from({ length: steps }, () => batcher.next(1_000)?.entries.length ?? 0)

describe('decoding', () => {
  test.each([
    [16, 4, [4, 4, 4, 4, 0]],
    [5, 4, [2, 2, 1, 0]],
    [3, 4, [1, 1, 1, 0]],
    [4, 1, [4, 0]],
    [1, 8, [1, 0]],
  ])('%i sessions share %i microbatches evenly', (count, microbatches, expected) => {
    const batcher = new StepBatcher(microbatches, 64)
    decoding(batcher, count)
    expect(sizes(batcher, expected.length)).toEqual(expected)
  })

  test('the oldest go first, at consecutive positions', () => {
    const batcher = new StepBatcher(1, 64)
    const [a, b] = decoding(batcher, 2)
    expect(batcher.next(1)).toEqual({
      entries: [{ key: a!.key, position: 1, count: 1, sample: true }],
      tokens: Int32Array.of(7),
      promptTokens: 0,
    })
    batcher.advance(a!, 8)
    expect(batcher.next(9)?.entries).toEqual([
      { key: b!.key, position: 1, count: 1, sample: true },
      { key: a!.key, position: 2, count: 1, sample: true },
    ])
  })

  test('removed sessions neither run nor count', () => {
    const batcher = new StepBatcher(2, 64)
    const sessions = decoding(batcher, 8)
    for (const one of sessions.slice(0, 4)) batcher.remove(one)
    batcher.remove(sessions[0]!)
    expect(sizes(batcher, 3)).toEqual([2, 2, 0])
  })
})

describe('prompts', () => {
  test('chunks of one prompt follow each other; only the last samples', () => {
    const batcher = new StepBatcher(4, 4)
    batcher.add(session(1, 10))
    const entries = [batcher.next(64), batcher.next(64), batcher.next(64)].map((batch) => batch?.entries[0])
    expect(entries).toEqual([
      { key: 1, position: 0, count: 4, sample: false },
      { key: 1, position: 4, count: 4, sample: false },
      { key: 1, position: 8, count: 2, sample: true },
    ])
    expect(batcher.next(64)).toBeNull()
  })

  test('short prompts share a step up to the chunk size, beside decoding', () => {
    const batcher = new StepBatcher(1, 5)
    decoding(batcher, 2)
    batcher.add(session(11, 3))
    batcher.add(session(12, 3))
    const batch = batcher.next(64)
    expect(batch?.entries.map(({ key, count, sample }) => [key, count, sample])).toEqual([
      [0, 1, true],
      [1, 1, true],
      [11, 3, true],
      [12, 2, false],
    ])
    expect([...batch!.tokens]).toEqual([7, 7, 1100, 1101, 1102, 1200, 1201])
    expect(batch!.promptTokens).toBe(5)
  })
})

test('whatever comes, every token is sent once, in order, within the limits', () => {
  const scenario = fc.record({
    lengths: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 12 }),
    decodes: fc.integer({ min: 0, max: 5 }),
    microbatches: fc.integer({ min: 1, max: 6 }),
    chunk: fc.integer({ min: 1, max: 12 }),
    limit: fc.integer({ min: 1, max: 16 }),
  })
  fc.assert(
    fc.property(scenario, ({ lengths, decodes, microbatches, chunk, limit }) => {
      const batcher = new StepBatcher(microbatches, chunk)
      const sessions = lengths.map((length, key) => session(key, length))
      const seen = new Map<number, number[]>(sessions.map(({ key }) => [key, []]))
      for (const one of sessions) batcher.add(one)
      for (let batch = batcher.next(limit); batch !== null; batch = batcher.next(limit)) {
        expect(batch.tokens.length).toBeLessThanOrEqual(limit)
        expect(batch.promptTokens).toBeLessThanOrEqual(chunk)
        let at = 0
        for (const { key, position, count, sample } of batch.entries) {
          const tokens = seen.get(key)!
          expect(position).toBe(tokens.length)
          tokens.push(...batch.tokens.subarray(at, at + count))
          at += count
          const one = sessions[key]!
          expect(sample).toBe(tokens.length >= one.prompt.length)
          if (sample && tokens.length < one.prompt.length + decodes) batcher.advance(one, tokens.length)
        }
        expect(at).toBe(batch.tokens.length)
      }
      for (const { key, prompt } of sessions) {
        const decoded = Array.from({ length: decodes }, (_, index) => prompt.length + index)
        expect(seen.get(key)).toEqual([...prompt, ...decoded])
      }
    }),
  )
})
