import { expect, test } from 'vitest'
import {
  describeEmbedded,
  describeServer,
  type OpenAgain,
  type OpenDatabase,
} from '../database/testing/databases.ts'
import { GhostWorld } from './testing/ghost-world.ts'
import { TestClock, TestPlane } from './testing/test-plane.ts'

/** Set to run one seed only. */
const replay = process.env.GHOSTS_SEED
const seeds = (usual: readonly number[]) => (replay === undefined ? usual : [Number(replay)])
const limitMs = 240_000

async function expectNoGhosts(seed: number, open: OpenDatabase, again: OpenAgain): Promise<void> {
  const database = await open()
  const clock = new TestClock()
  const openPlane = async () => TestPlane.open(await again(database), clock)
  // Nobody shares an embedded database.
  const planes = [await openPlane()]
  if (database.kind === 'server') planes.push(await openPlane())
  const world = new GhostWorld(seed, planes, clock, openPlane)
  const problems = await world.run(200)
  for (const plane of planes) await plane.stop()
  expect(problems, `Replay: GHOSTS_SEED=${seed}\n${world.log.join('\n')}`).toEqual([])
  expect(world.living.length).toBeGreaterThan(2)
  expect(new Set(world.log)).toContain('beat: MACHINE_FENCED')
}

const title = '200 joins, restarts, kills, copies and jumps of the clock leave no ghost (seed %i)'

describeEmbedded('ghosts', (open, again) => {
  test.each(seeds([1, 2]))(title, (seed) => expectNoGhosts(seed, open, again), limitMs)
})

describeServer('ghosts', (open, again) => {
  test.each(seeds([1]))(title, (seed) => expectNoGhosts(seed, open, again), limitMs)
})
