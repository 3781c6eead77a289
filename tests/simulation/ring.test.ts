import { describe, expect, test } from 'vitest'
import { RingWorld, type RingWorldOptions } from './ring-world.ts'

/** Set to replay one seed, with its log. */
const replay = process.env.RING_SEED
const seeds = (count: number): readonly number[] =>
  replay === undefined ? Array.from({ length: count }, (_, index) => index + 1) : [Number(replay)]

async function run(options: RingWorldOptions): Promise<RingWorld> {
  const world = new RingWorld(options)
  const problems = await world.run()
  if (problems.length === 0) return world
  throw new Error(
    [
      `Ring world with seed ${options.seed}: ${problems.length} problems`,
      ...problems.slice(0, 10),
      'Faults drawn:',
      ...world.faults,
      `Replay: RING_SEED=${options.seed} npx vitest run tests/simulation/ring.test.ts`,
      ...(replay === undefined ? [] : world.log),
    ].join('\n'),
  )
}

describe('a ring of shipped machines', () => {
  test.each(seeds(30))('without faults answers everything and faults nothing (seed %i)', async (seed) => {
    const world = await run({ seed, faults: false })
    expect(world.requests).toBeGreaterThan(0)
  })

  test.each(seeds(100))(
    'with faults answers exactly once and continues identically (seed %i)',
    async (seed) => {
      const world = await run({ seed, faults: true })
      expect(world.requests).toBeGreaterThan(0)
    },
  )

  test('most requests end well, so that the properties above are not empty', async () => {
    const worlds = await Promise.all([101, 102, 103, 104].map((seed) => run({ seed, faults: true })))
    const requests = worlds.reduce((sum, world) => sum + world.requests, 0)
    const finished = worlds.reduce((sum, world) => sum + world.finished, 0)
    expect(finished / requests).toBeGreaterThan(0.4)
    expect(worlds.some((world) => world.log.some((line) => line.includes('interrupted')))).toBe(true)
  })

  test.each(seeds(3))('the same seed gives the same log (seed %i)', async (seed) => {
    const first = await run({ seed, faults: true })
    const second = await run({ seed, faults: true })
    expect(first.log.length).toBeGreaterThan(10)
    expect(second.log).toEqual(first.log)
    expect(second.faults).toEqual(first.faults)
  })
})
