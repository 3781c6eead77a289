import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'

/**
 * Petals' placement (arXiv 2312.08361, section 3.2): devices join one after the other, each with as many layers as fit,
 * where the layers served worst so far lie: the interval whose sorted throughputs come first, lexicographically.
 *
 * @param order - in which the devices join; as listed by default
 */
export function petalsPlacement(
  instance: FlowInstance,
  order: readonly number[] = instance.devices.map((_, device) => device),
): FlowPlacement {
  const { devices, layers } = instance
  const served = new Array<number>(layers).fill(0)
  const placement = new Array<{ first: number; end: number } | null>(devices.length).fill(null)
  for (const device of order) {
    const rates = devices[device]!.tokensPerSecondByLayers
    const count = Math.min(rates.length, layers)
    let best = 0
    let worst = sorted(served, 0, count)
    for (let first = 1; first + count <= layers; first += 1) {
      const here = sorted(served, first, count)
      if (isBefore(here, worst)) {
        best = first
        worst = here
      }
    }
    for (let layer = best; layer < best + count; layer += 1) served[layer]! += rates[count - 1]!
    placement[device] = { first: best, end: best + count }
  }
  return placement
}

function sorted(served: readonly number[], first: number, count: number): readonly number[] {
  return served.slice(first, first + count).sort((a, b) => a - b)
}

function isBefore(one: readonly number[], other: readonly number[]): boolean {
  for (const [at, value] of one.entries()) {
    if (value !== other[at]) return value < other[at]!
  }
  return false
}
