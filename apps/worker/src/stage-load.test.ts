import type { RingSnapshot } from '@deos/protocol'
import { expect, test } from 'vitest'
import { StageLoadMeter } from './stage-load.ts'

const capacity = { kvPages: 64, pageTokens: 16, contextLength: 512, maxBatchTokens: 128 }
const follower: RingSnapshot = { epoch: 1, sessions: 3, pagesHeld: 5, pendingSteps: 0, leader: null }

const next = {
  estimates: { roundTripMs: 12, jitterMs: 1, bytesPerSecond: null },
  path: 'punched',
} as const

test('busy time counts from look to look, and anew with another engine', () => {
  const meter = new StageLoadMeter(1000)
  const engine = { computeUs: 250_000, capacity }
  expect(meter.read(follower, engine, 2000, next)).toEqual({
    activeSessions: 3,
    kvUsedTokens: 80,
    busyFraction: 0.25,
    generatedTokens: 0,
    nextRoundTripMs: 12,
    nextPath: 'punched',
  })
  engine.computeUs = 350_000
  expect(meter.read(follower, engine, 2200, null).busyFraction).toBeCloseTo(0.5)
  expect(meter.read(follower, { computeUs: 100_000, capacity }, 2700, null).busyFraction).toBeCloseTo(0.2)
  expect(meter.read(follower, null, 2900, null)).toMatchObject({ busyFraction: 0, kvUsedTokens: 0 })
})

test('a share stays one, also when a long step ends', () => {
  const meter = new StageLoadMeter(0)
  expect(meter.read(follower, { computeUs: 5e6, capacity }, 1000, null).busyFraction).toBe(1)
})
