import { expect, test } from 'vitest'
import { SplitAdvisor } from './split-advisor.ts'

test('both ways are measured, and then the faster one is taken', () => {
  const advisor = new SplitAdvisor('auto', 64)
  expect(advisor.choose(500)).toMatchObject({ split: false, reason: expect.stringContaining('measured') })
  // 2 ms a token here.
  advisor.computedHere(100, 200)
  advisor.computedHere(200, 400)
  expect(advisor.choose(500)).toMatchObject({ split: true, reason: expect.stringContaining('measured') })
  // 100 ms and 0.5 ms a token there, 20 ms to take over.
  advisor.handedOver(200, 200, 20)
  advisor.handedOver(400, 300, 20)
  // 120 / (2 * 0.9 - 0.5) = 92.3
  expect(advisor.choose(93).split).toBe(true)
  expect(advisor.choose(92)).toMatchObject({ split: false, reason: expect.stringContaining('93 positions') })
})

test('what is too short for a block, or forbidden, is never split', () => {
  expect(new SplitAdvisor('always', 64).choose(63).split).toBe(false)
  expect(new SplitAdvisor('always', 64).choose(64).split).toBe(true)
  expect(new SplitAdvisor('never', 64).choose(6_400).split).toBe(false)
})

test('samples that contradict each other give a rate', () => {
  const advisor = new SplitAdvisor('auto', 1)
  for (const tokens of [100, 200]) advisor.computedHere(tokens, tokens)
  advisor.handedOver(100, 300, 0)
  advisor.handedOver(200, 200, 0)
  expect(advisor.choose(1_000)).toMatchObject({ split: false, reason: expect.stringContaining('no prompt') })
})

test('hand-overs that fell short cost what they took, and are tried again later each time', () => {
  const advisor = new SplitAdvisor('auto', 1)
  for (const tokens of [100, 200]) advisor.computedHere(tokens, 2 * tokens)
  for (const tokens of [100, 200]) advisor.fellShort(tokens, 60_000)
  const untilTried = (): number => {
    let count = 0
    for (; !advisor.choose(1_000).split; count++) advisor.computedHere(100, 200)
    return count
  }
  expect(untilTried()).toBe(128)
  expect(advisor.choose(1_000).reason).toContain('measured again')
  advisor.fellShort(1_000, 60_000)
  expect(untilTried()).toBe(256)
  // The way is open again: old samples are forgotten as new ones come.
  for (let count = 0; count < 32; count++) advisor.handedOver(1_000 + count, 100, 10)
  expect(advisor.choose(1_000)).toMatchObject({
    split: true,
    reason: expect.not.stringContaining('measured again'),
  })
})
