import { expect, test } from 'vitest'
import { stepsOf } from './steps.ts'

const time = (computeUs: number) => [
  { waitUs: 1, computeUs, linkUs: 3 },
  { waitUs: 2, computeUs: computeUs + 1, linkUs: 4 },
]

test('sessions that are told the same times were in one step', () => {
  const steps = stepsOf([
    [time(10), time(30)],
    [time(10), time(31)],
    [time(20), time(30)],
  ])
  expect(steps.map(({ sessions, times }) => [sessions, times[0]!.computeUs]).sort()).toEqual([
    [1, 20],
    [1, 31],
    [2, 10],
    [2, 30],
  ])
})
