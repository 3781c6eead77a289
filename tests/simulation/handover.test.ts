import { expect, test } from 'vitest'
import { HandoverWorld } from './handover-world.ts'

/** Set to replay one seed, with its log. */
const replay = process.env.HANDOVER_SEED
const seeds = (first: number, count: number): readonly number[] =>
  replay === undefined ? Array.from({ length: count }, (_, index) => first + index) : [Number(replay)]

function run(seed: number, faults: boolean, enhance = false): HandoverWorld {
  const world = new HandoverWorld(seed, { faults, enhance, wire: seed % 10 === 0 })
  world.run()
  if (world.problems.length === 0) return world
  throw new Error(
    [
      `Hand-over world with seed ${seed}${faults ? '' : ', without faults'}${enhance ? ', refined' : ''}:`,
      ...world.problems.slice(0, 5),
      ...world.log,
      `Replay: HANDOVER_SEED=${seed} npx vitest run tests/simulation/handover.test.ts`,
    ].join('\n'),
  )
}

test('without faults every session reaches the decode ring whole', () => {
  for (const seed of seeds(1, 300)) {
    const world = run(seed, false)
    expect(world.outcome, `seed ${seed}`).toBe('decode')
    expect(world.startedAt, `seed ${seed}`).toBe(world.shape.length)
  }
})

test('with faults every session ends with one owner who has all that it needs, and no block travels twice', () => {
  const worlds = seeds(1_000, 1_000).map((seed) => run(seed, true))
  if (replay !== undefined) return
  const outcomes = (name: string) => worlds.filter(({ outcome }) => outcome === name).length
  // So that the properties above are not empty.
  expect(outcomes('decode')).toBeGreaterThan(400)
  expect(outcomes('prefill')).toBeGreaterThan(10)
  expect(outcomes('nobody')).toBeGreaterThan(10)
  const partial = worlds.filter(({ startedAt, shape }) => startedAt !== null && startedAt < shape.length)
  expect(partial.some(({ startedAt }) => startedAt! > 0)).toBe(true)
})

test('what came with loss is refined after the start, to the last block if nothing is in the way', () => {
  for (const seed of seeds(1, 300)) {
    const world = run(seed, false, true)
    expect(world.startedAt, `seed ${seed}`).toBe(world.shape.length)
    expect(world.refined, `seed ${seed}`).toMatchObject({ complete: true })
  }
})

test('refining never harms: whatever fails meanwhile, the session has one owner and everybody lets go', () => {
  const worlds = seeds(1_000, 1_000).map((seed) => run(seed, true, true))
  if (replay !== undefined) return
  const count = (matches: (world: HandoverWorld) => boolean) => worlds.filter(matches).length
  // So that the properties above are not empty.
  expect(count(({ outcome }) => outcome === 'decode')).toBeGreaterThan(400)
  expect(count(({ refined }) => refined?.complete === true)).toBeGreaterThan(150)
  for (const reason of [/gone/, /let go/, /session is over/, /cannot be written/, /too long/]) {
    expect(
      count(({ refined }) => reason.test(refined?.reason ?? '')),
      `${reason}`,
    ).toBeGreaterThan(0)
  }
})

test('the same seed gives the same run', () => {
  for (const seed of seeds(5_000, 10)) {
    const [first, second] = [run(seed, true), run(seed, true)]
    expect(second.log).toEqual(first.log)
    expect(second.startedAt).toBe(first.startedAt)
  }
})
