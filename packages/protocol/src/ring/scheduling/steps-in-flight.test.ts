import { expect, test } from 'vitest'
import { StepsInFlight } from './steps-in-flight.ts'

function settled(stages: number, aroundMs: number, stageUs: number): StepsInFlight {
  const steps = new StepsInFlight(stages, stages)
  steps.probed(aroundMs)
  for (let step = 0; step < 9; step++) steps.stepped(stages * stageUs)
  return steps
}

test.each([
  ['loopback', 4, 0.8, 5_000, 4],
  ['a local network and a small model', 4, 3, 2_700, 4],
  ['regions 71 ms around, 6.8 ms a stage', 4, 71, 6_800, 12],
  ['computing so short that only messages count', 4, 71, 0, 64],
  ['a ring of one', 1, 50, 1_000, 1],
])('%s: %i stages, %d ms around, %i µs a stage take %i steps', (_, stages, aroundMs, stageUs, expected) => {
  expect(settled(stages, aroundMs, stageUs).count).toBe(expected)
})

test('it stays with the least until both links and steps are measured', () => {
  const steps = new StepsInFlight(4, 4)
  for (let step = 0; step < 20; step++) steps.stepped(1000)
  expect(steps.count).toBe(4)
  steps.probed(100)
  expect(steps.count).toBeGreaterThan(4)
})

test('one slow probe and one slow step change nothing; a lasting change does', () => {
  const steps = settled(4, 71, 6_800)
  steps.probed(900)
  steps.stepped(900_000)
  expect(steps.count).toBe(12)
  for (let step = 0; step < 9; step++) {
    steps.probed(10)
    steps.stepped(4 * 6_800)
  }
  expect(steps.count).toBe(4)
})
