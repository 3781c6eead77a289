import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CodingWorth } from './coding-worth.ts'

const MEGABYTE = 1e6

/** A worker that codes and reads so many bytes of the cache per second, to 1 / ratio of them. */
function worker({ encode = 50 * MEGABYTE, decode = 50 * MEGABYTE, ratio = 1.4 } = {}): CodingWorth {
  const worth = new CodingWorth()
  for (let block = 0; block < 8; block += 1) {
    const sample = { plainBytes: 32_768, codedBytes: 32_768 / ratio }
    worth.encoded({ ...sample, durationMs: (1000 * 32_768) / encode })
    worth.decoded({ ...sample, durationMs: (1000 * 32_768) / decode })
  }
  return worth
}

test('slow links get coded blocks, fast ones plain blocks', () => {
  // Of each byte 0.29 are saved, and 0.032 µs of coding spent: even at 8.9 MB/s.
  expect(worker().prefersPlain(5 * MEGABYTE)).toBe(false)
  expect(worker().prefersPlain(100 * MEGABYTE)).toBe(true)
  expect(worker({ encode: 5000 * MEGABYTE, decode: 5000 * MEGABYTE }).prefersPlain(100 * MEGABYTE)).toBe(
    false,
  )
  expect(worker({ ratio: 1 }).prefersPlain(1 * MEGABYTE)).toBe(true)
})

test('while nothing is known of link or coding, blocks are coded', () => {
  expect(worker().prefersPlain(null)).toBe(false)
  expect(worker().prefersPlain(0)).toBe(false)
  const fresh = new CodingWorth()
  fresh.encoded({ plainBytes: 1000, codedBytes: 900, durationMs: 1000 })
  expect(fresh.prefersPlain(1000 * MEGABYTE)).toBe(false)
})

test('some blocks are coded all the same, so that a change is noticed', () => {
  const worth = worker()
  const plain = Array.from({ length: 160 }, () => worth.prefersPlain(1000 * MEGABYTE))
  expect(plain.filter((one) => !one)).toHaveLength(10)
  // Coding became much faster.
  for (let block = 0; block < 32; block += 1) {
    const sample = { plainBytes: 1e6, codedBytes: 7e5, durationMs: 0.001 }
    worth.encoded(sample)
    worth.decoded(sample)
  }
  expect(worth.prefersPlain(1000 * MEGABYTE)).toBe(false)
})

test('a faster link never makes coding worth it', () => {
  const rate = fc.double({ min: 1e4, max: 1e11, noNaN: true })
  fc.assert(
    fc.property(rate, rate, rate, fc.double({ min: 1, max: 8, noNaN: true }), (slow, more, encode, ratio) => {
      const [a, b] = [worker({ encode, ratio }), worker({ encode, ratio })]
      if (a.prefersPlain(slow)) expect(b.prefersPlain(slow + more)).toBe(true)
    }),
  )
})
