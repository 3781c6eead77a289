import { describe, expect, test } from 'vitest'
import { MachinesWorld } from './machines-world.ts'

/** Set to replay one seed, with its log. */
const replay = process.env.MACHINES_SEED
const seeds = (count: number): readonly number[] =>
  replay === undefined ? Array.from({ length: count }, (_, index) => index + 1) : [Number(replay)]

async function run(seed: number): Promise<MachinesWorld> {
  const world = new MachinesWorld(seed)
  const problems = await world.run()
  if (problems.length === 0) return world
  throw new Error(
    [
      `Machines world with seed ${seed}: ${problems.length} problems`,
      ...problems.slice(0, 10),
      'Faults drawn:',
      ...world.faults,
      `Replay: MACHINES_SEED=${seed} npx vitest run tests/simulation/machines.test.ts`,
      ...(replay === undefined ? [] : world.log),
    ].join('\n'),
  )
}

describe('machines that join, die, come back and are copied', () => {
  test.each(seeds(40))('end as exactly the live ones, no ghost and no double (seed %i)', async (seed) => {
    const world = await run(seed)
    expect(world.started).toBe(200)
  })

  test('one seed always gives the same log', async () => {
    const [first, second] = [await run(7), await run(7)]
    expect(second.log).toEqual(first.log)
  })

  test('everything that the worlds are about does happen, so that the properties above are not empty', async () => {
    const worlds = []
    for (const seed of [101, 102, 103, 104]) worlds.push(await run(seed))
    const events = new Set(worlds.flatMap(({ plane }) => plane.log.map(({ type }) => type)))
    expect(events.size).toBe(14)
    const ends = new Set(worlds.flatMap(({ processes }) => processes.map(({ ended }) => ended)))
    for (const code of [
      'MACHINE_FENCED',
      'MACHINE_REMOVED',
      'MACHINE_VERSION',
      'MACHINE_ORGANISATION',
      'TOKEN_MISSING',
      'TOKEN_UNKNOWN',
      'TOKEN_EXPIRED',
      'TOKEN_REVOKED',
      'TOKEN_USED_UP',
    ] as const) {
      expect(ends).toContain(code)
    }
    for (const { plane, processes } of worlds) {
      expect(plane.restarts).toBeGreaterThan(0)
      expect(processes.filter(({ alive }) => alive).length).toBeGreaterThan(15)
    }
  })
})
