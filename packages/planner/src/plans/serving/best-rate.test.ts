import { expect, test } from 'vitest'
import { bestRate } from './best-rate.ts'

const usual = { mostDown: 5, mostUp: 3 }

/** A service that attains all of its rate up to a peak, and so much beyond it; and the shares that it was tried with. */
function service(peak: number, { least = 0, beyond = 0.5 } = {}) {
  const shares: number[] = []
  const tryAt = (share: number) => {
    shares.push(share)
    const attained = share <= peak ? 1 : beyond / share
    return share < least ? null : { share, attained, worth: attained * share }
  }
  return { shares, tryAt }
}

test.each([0.55, 0.7, 0.99, 1, 1.1, 1.2, 1.4])('a peak at %f of the first rate is found to 12%', (peak) => {
  for (const beyond of [0, 0.01, 0.2]) {
    const { share } = bestRate(service(peak, { beyond }).tryAt, usual)!
    expect(share).toBeLessThanOrEqual(peak)
    expect(share).toBeGreaterThan(peak * 0.87)
  }
})

test('goes no further than it may, in neither direction', () => {
  const low = service(0.1, { beyond: 0 })
  expect(bestRate(low.tryAt, usual)).toMatchObject({ share: 1, worth: 0 })
  expect(low.shares).toHaveLength(6)
  const high = service(10)
  expect(bestRate(high.tryAt, usual)!.share).toBe((1 / 0.88) ** 3)
  expect(high.shares).toHaveLength(4)
})

test('goes down where more is worth less, and stops where there is no lower rate', () => {
  expect(bestRate(service(0.9).tryAt, usual)!.share).toBe(0.88)
  expect(bestRate(service(0.8, { least: 0.8 }).tryAt, usual)).toMatchObject({ share: 1, worth: 0.5 })
  expect(bestRate(() => null, usual)).toBeNull()
})

test('a little more is taken for chance', () => {
  const flat = (share: number) => ({ share, attained: 1, worth: 1 + share / 1000 })
  expect(bestRate(flat, usual)!.share).toBe(1)
})
