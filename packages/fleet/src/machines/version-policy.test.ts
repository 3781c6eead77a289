import { expect, test } from 'vitest'
import { shakeHands, type VersionPolicy } from './version-policy.ts'

const policy: VersionPolicy = { version: '1.4.2', protocol: { min: 2, max: 4 }, olderMinors: 2 }

test.each([
  ['1.4.2', 2, 4, 4],
  ['1.4.9', 3, 3, 3],
  ['1.9.0', 4, 7, 4],
  ['1.2.0', 1, 2, 2],
  ['1.5.0-rc.1+build.7', 4, 4, 4],
])('%s speaking %i to %i may join and speaks %i', (version, min, max, protocol) => {
  expect(shakeHands(policy, { version, protocol: { min, max } })).toEqual({ protocol })
})

test.each([
  ['1.4.2', 5, 6, 'speaks protocol 5 to 6', 'Update the control plane to 1.4.2'],
  ['1.4.2', 1, 1, 'speaks protocol 1,', 'Update the machine to 1.4.2'],
  ['1.1.9', 2, 2, 'accepts 1.2.0 or newer', 'Update the machine'],
  ['0.9.0', 2, 2, 'major versions differ', 'Update the machine'],
  ['2.0.0', 4, 5, 'major versions differ', 'Update the control plane to 2.0.0'],
])('%s speaking %i to %i is refused with a remedy', (version, min, max, problem, remedy) => {
  const handshake = shakeHands(policy, { version, protocol: { min, max } })
  if (handshake.protocol !== null) throw new Error(`agreed on ${handshake.protocol}`)
  expect(handshake.problem).toContain(problem)
  expect(handshake.remedy).toContain(remedy)
})

test.each(['', '1', '1.4', 'v1.4.2', '1.4.2 ', `1.4.2-${'a'.repeat(80)}`, '-1.4.2'])(
  '"%s" is not a version',
  (version) => {
    expect(() => shakeHands(policy, { version, protocol: { min: 2, max: 2 } })).toThrow('software.version')
  },
)

test.each([
  [0, 2],
  [3, 2],
  [2, Number.POSITIVE_INFINITY],
  [Number.NaN, 2],
])('%d to %d is not a range of versions', (min, max) => {
  expect(() => shakeHands(policy, { version: '1.4.2', protocol: { min, max } })).toThrow('software.protocol')
})
