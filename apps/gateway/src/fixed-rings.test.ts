import { expect, test } from 'vitest'
import { fixedRings, OtherRingsError, RingAddressError } from './fixed-rings.ts'

const first = { ring: 'a', leader: 'one:1', tail: 'two:2' }
const alone = { ...first, otherRings: [], prefillRing: null, stages: [], prefillStages: [] }

test('further rings are named with their first and last stage', () => {
  expect(fixedRings(alone)).toEqual([first])
  expect(fixedRings({ ...alone, otherRings: ['b@three:3/four:4', 'c@[::1]:5/[::1]:5'] })).toEqual([
    first,
    { ring: 'b', leader: 'three:3', tail: 'four:4' },
    { ring: 'c', leader: '[::1]:5', tail: '[::1]:5' },
  ])
})

test.each(['b', 'b@one:1', '@one:1/two:2', 'b@one:1/', 'b@one:1/two:2/three:3'])('%s is refused', (text) => {
  expect(() => fixedRings({ ...alone, otherRings: [text] })).toThrow(OtherRingsError)
})

test('prompts are computed apart for one ring only', () => {
  const both = { ...alone, otherRings: ['b@three:3/four:4'], prefillRing: 'p' }
  expect(() => fixedRings(both)).toThrow('for one ring, not for 2')
})

test.each([
  ['--leader', { leader: 'one' }],
  ['--tail', { tail: 'two:99999' }],
  ['--other-rings', { otherRings: ['b@three/four:4'] }],
  ['--stages', { stages: ['one:1', 'two:2;key=short'] }],
  ['--prefill-stages', { prefillStages: [''] }],
])('what is no address is refused by the name of its option: %s', (option, wrong) => {
  const attempt = () => fixedRings({ ...alone, ...wrong })
  expect(attempt).toThrow(RingAddressError)
  expect(attempt).toThrow(option)
})

test('addresses of machines with keys are addresses', () => {
  const leader = `one:1;key=${'k'.repeat(43)};circuit=${'c'.repeat(24)}`
  expect(fixedRings({ ...alone, leader, stages: [leader] })).toMatchObject([{ leader }])
})
