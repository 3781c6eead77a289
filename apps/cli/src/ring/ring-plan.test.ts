import { layerCount } from '@deos/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { smallModel } from '../testing/small-model.ts'
import { planRing, type RingSettings } from './ring-plan.ts'
import { defaultServing } from './serving-settings.ts'
import { evenProfiles, mixedProfiles, takeProfiles } from './worker-profiles.ts'

const settings = (over: Partial<RingSettings> = {}): RingSettings => ({
  ring: 'ring',
  model: { id: 'small', path: '/models/small' },
  config: smallModel,
  profiles: takeProfiles(mixedProfiles, 4),
  stages: null,
  weightType: 'native',
  kvType: 'auto',
  contextLength: null,
  kvBytes: null,
  spareBytes: 2 ** 30,
  threads: 1,
  device: null,
  cacheDir: '/cache',
  maxSessions: 64,
  maxQueued: 256,
  serving: defaultServing,
  ...over,
})

test('a step holds 512 tokens, or a longer prompt chunk if that is asked for', () => {
  const batch = (prefillChunkTokens: number | 'auto') =>
    planRing(settings({ serving: { ...defaultServing, prefillChunkTokens } })).assignments[0]!.maxBatchTokens
  expect([batch('auto'), batch(32), batch(4096)]).toEqual([512, 512, 4096])
})

test('four mixed workers hold different numbers of layers, the fastest most', () => {
  const { assignments } = planRing(settings())
  expect(assignments.map(({ layers }) => [layers.first, layers.end])).toEqual([
    [0, 4],
    [4, 6],
    [6, 7],
    [7, 8],
  ])
  expect(assignments.map(({ worker, speed }) => [worker, speed])).toEqual([
    ['0-workstation', 1],
    ['1-desktop', 0.6],
    ['2-mini', 0.3],
    ['3-laptop', 0.5],
  ])
  expect(new Set(assignments.map(({ kvBytes, layers }) => kvBytes / layerCount(layers))).size).toBe(4)
})

test('any number of workers up to the layers covers the model once, in order', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.constantFrom(mixedProfiles, evenProfiles),
      (count, table) => {
        const { assignments } = planRing(settings({ profiles: takeProfiles(table, count) }))
        let next = 0
        for (const [stage, { layers, ...assignment }] of assignments.entries()) {
          expect(layers.first).toBe(next)
          expect(layers.end).toBeGreaterThan(layers.first)
          expect(assignment).toMatchObject({ stage, stages: count, kvType: 'F32', contextLength: 1024 })
          next = layers.end
        }
        expect(next).toBe(8)
        expect(new Set(assignments.map(({ worker }) => worker)).size).toBe(count)
      },
    ),
  )
})

test('more workers than layers are refused with both numbers', () => {
  expect(() => planRing(settings({ profiles: takeProfiles(evenProfiles, 9) }))).toThrow(
    'small has 8 layers, too few for 9 workers of at least one.',
  )
})

test('a plan from elsewhere is taken as it is, a worker for each rank', () => {
  const split = { tensor: 2, experts: 1, context: 2 }
  const alone = { tensor: 1, experts: 1, context: 1 }
  const stages = [
    { layers: { first: 0, end: 5 }, split },
    { layers: { first: 5, end: smallModel.layers }, split: alone },
  ]
  const planned = settings({ stages, profiles: takeProfiles(evenProfiles, 2) })
  const { assignments } = planRing(planned)
  const whole = planRing({ ...planned, stages: stages.map(({ layers }) => ({ layers, split: alone })) })
  expect(assignments.map(({ worker, stage, rank }) => [worker, stage, rank])).toEqual([
    ['0-even', 0, 0],
    ['0-even.1', 0, 1],
    ['0-even.2', 0, 2],
    ['0-even.3', 0, 3],
    ['1-even', 1, 0],
  ])
  const least = whole.assignments[0]!.kvBytes / 4
  for (const { kvBytes, rank, stage } of assignments) {
    expect(kvBytes, `rank ${rank} of stage ${stage}`).toBeGreaterThanOrEqual(least)
  }
  expect(assignments[4]!.kvBytes).toBe(whole.assignments[1]!.kvBytes)
  const serving = { ...defaultServing, adapters: [{ name: 'poet', path: '/poet' }] }
  expect(() => planRing({ ...planned, serving })).toThrow('adapters such as poet')
})
