import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Evictable, EvictionOrder } from './eviction-order.ts'

interface Item extends Evictable {
  kept: boolean
}

const item = (id: number, worth: number): Item => ({ id, worth, queuedWorth: Number.NaN, kept: false })

test('gives up the least worth first, and of equals the one with the smaller id', () => {
  const order = new EvictionOrder<Item>(() => true)
  for (const [id, worth] of [
    [1, 5],
    [2, 1],
    [3, 3],
    [4, 1],
  ] as const) {
    order.add(item(id, worth))
  }
  expect([1, 2, 3, 4, 5].map(() => order.next()?.id ?? null)).toEqual([2, 4, 3, 1, null])
})

test('whatever changes its worth or may not go for a while, the least of those queued that may goes next', () => {
  const actions = fc.array(
    fc.record({ kind: fc.constantFrom('add', 'value', 'keep', 'next'), id: fc.nat(9), worth: fc.nat(20) }),
    { maxLength: 400, size: 'max' },
  )
  fc.assert(
    fc.property(actions, (list) => {
      const items = Array.from({ length: 10 }, (_, id) => item(id, id))
      const queued = new Set<Item>()
      const order = new EvictionOrder<Item>((one) => !one.kept)
      for (const { kind, id, worth } of list) {
        const one = items[id]!
        if (kind === 'add') {
          order.add(one)
          queued.add(one)
        } else if (kind === 'value') {
          one.worth = worth
          if (queued.has(one)) order.add(one)
        } else if (kind === 'keep') one.kept = !one.kept
        else {
          const next = order.next()
          const least = [...queued]
            .filter(({ kept }) => !kept)
            .sort((a, b) => a.worth - b.worth || a.id - b.id)
            .at(0)
          expect(next?.id).toBe(least?.id)
          // What came up before it but may not go has to be added again.
          for (const other of queued) if (Number.isNaN(other.queuedWorth)) queued.delete(other)
        }
      }
    }),
  )
})
