import { expect, test } from 'vitest'
import { builtInProfiles } from '../profile/built-in-profiles.ts'
import { loadWanSchedule } from './load-schedule.ts'
import { parseWanSchedule } from './wan-schedule.ts'

const lan = builtInProfiles.get('lan')!
const pair = { from: 'desk-1', to: 'desk-2' }

test('events are in order of time', () => {
  const events = parseWanSchedule(
    [
      { atMs: 20, action: 'open', ...pair },
      { atMs: 10, action: 'kill', ...pair },
    ],
    lan,
  )
  expect(events).toEqual([
    { atMs: 10, action: { action: 'kill', ...pair, afterBytes: 0 } },
    { atMs: 20, action: { action: 'open', ...pair } },
  ])
})

test.each([
  [{ action: 'open', ...pair }, '0.atMs'],
  [{ atMs: 1e13, action: 'open', ...pair }, '0.atMs'],
  [{ atMs: 1, action: 'explode', ...pair }, '0.action'],
  [{ atMs: 1, action: 'open', from: 'desk-1', to: 'moon' }, '"moon" is no site of lan'],
  [{ atMs: 1, action: 'open', ...pair, loss: 1 }, 'loss'],
])('%j is refused', (entry, problem) => {
  expect(() => parseWanSchedule([entry], lan)).toThrow(problem)
})

test('a file that cannot be read says what a schedule is like', async () => {
  const loaded = loadWanSchedule('nowhere/at-all.json', lan)
  await expect(loaded).rejects.toMatchObject({
    message: expect.stringContaining('"nowhere/at-all.json" is no schedule'),
    hint: expect.stringContaining('blackhole'),
  })
})
