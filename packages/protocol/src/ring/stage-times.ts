import type { StageTime } from '../messages.ts'

/** What a field of them holds on the wire: over an hour. */
const MOST_US = 0xffff_ffff

const none: StageTime = { waitUs: 0, computeUs: 0, linkUs: 0 }
const sum = (a: number, b: number): number => Math.min(a + b, MOST_US)

/** Stage by stage. */
export function addTimes(a: readonly StageTime[], b: readonly StageTime[]): readonly StageTime[] {
  if (a.length === 0) return b
  return Array.from({ length: Math.max(a.length, b.length) }, (_, stage) => {
    const { waitUs, computeUs, linkUs } = a[stage] ?? none
    const more = b[stage] ?? none
    return {
      waitUs: sum(waitUs, more.waitUs),
      computeUs: sum(computeUs, more.computeUs),
      linkUs: sum(linkUs, more.linkUs),
    }
  })
}

/** What the engines of all stages spent. */
export const computeUs = (times: readonly StageTime[]): number =>
  times.reduce((total, time) => sum(total, time.computeUs), 0)
