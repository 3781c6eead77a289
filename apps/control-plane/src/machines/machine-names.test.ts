import fc from 'fast-check'
import { expect, test } from 'vitest'
import { uniqueName } from './machine-names.ts'

const taken = (...names: string[]): ReadonlySet<string> => new Set(names)

test.each([
  ['gpu', taken(), null, 'gpu'],
  ['gpu', taken('gpu'), null, 'gpu-2'],
  ['gpu', taken('gpu', 'gpu-2', 'gpu-4'), null, 'gpu-3'],
  // What came from the same wish is kept, though a better one is free again.
  ['gpu', taken(), 'gpu-3', 'gpu-3'],
  ['gpu', taken('gpu-3'), 'gpu-3', 'gpu'],
  ['gpu', taken(), 'attic', 'gpu'],
  ['gpu', taken('gpu'), 'gpu-box', 'gpu-2'],
  ['a'.repeat(63), taken('a'.repeat(63)), null, `${'a'.repeat(61)}-2`],
  [`${'a'.repeat(60)}-bc`, taken(`${'a'.repeat(60)}-bc`), null, `${'a'.repeat(60)}-2`],
])('%s among some becomes a free name', (wish, others, current, name) => {
  expect(uniqueName(wish, others, current)).toBe(name)
})

test('names are free, fit and stay what they are', () => {
  const slug = fc.stringMatching(/^[a-c](?:[a-c-]{0,61}[a-c])?$/)
  fc.assert(
    fc.property(slug, fc.array(slug, { maxLength: 20 }), (wish, others) => {
      const used = new Set<string>([...others, wish])
      for (let count = 0; count < 12; count += 1) {
        const name = uniqueName(wish, used, null)
        expect(used.has(name)).toBe(false)
        expect(name).toMatch(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/)
        expect(uniqueName(wish, used, name)).toBe(name)
        used.add(name)
      }
    }),
  )
})
