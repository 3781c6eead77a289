import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Lane } from './lane.ts'

test('starts tasks in their order, so many at a time, whatever becomes of them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.record({ turns: fc.nat(5), fails: fc.boolean() }), { maxLength: 20 }),
      async (width, tasks) => {
        const lane = new Lane(() => width)
        const started: number[] = []
        let running = 0
        let most = 0
        const results = await Promise.allSettled(
          tasks.map(({ turns, fails }, index) =>
            lane.run(async () => {
              started.push(index)
              running += 1
              most = Math.max(most, running)
              for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
              running -= 1
              if (fails) throw new Error('failed')
              return index
            }),
          ),
        )
        expect(started).toEqual([...tasks.keys()])
        expect(most).toBeLessThanOrEqual(width)
        expect(results.map(({ status }) => status === 'rejected')).toEqual(tasks.map(({ fails }) => fails))
      },
    ),
  )
})

test('a lane that widens starts as many as it has become wide, and one that closes still runs one', async () => {
  let width = 1
  const lane = new Lane(() => width)
  const ends: (() => void)[] = []
  const task = () => new Promise<void>((resolve) => void ends.push(resolve))
  const all = Promise.all(Array.from({ length: 6 }, () => lane.run(task)))
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  await settle()
  expect(ends).toHaveLength(1)
  width = 3
  ends[0]!()
  await settle()
  expect(ends).toHaveLength(4)
  width = 0
  for (const end of ends.slice(1)) end()
  await settle()
  expect(ends).toHaveLength(5)
  ends[4]!()
  await settle()
  ends[5]!()
  await all
})
