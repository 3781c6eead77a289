import type { FlowPlacement } from '../flow/flow-instance.ts'

export interface ParallaxCosts {
  /** ms of one layer on the device under its load. */
  readonly msPerLayer: (device: number) => number
  /** Round trip between devices; undefined if they cannot reach each other. */
  readonly roundTripMs: (from: number, to: number) => number | undefined
}

/**
 * Parallax' second phase: the chain of devices with the least time for a request, by dynamic programming over the
 * placement's directed graph, where a device follows another that ends where it begins: the layers' time under the load
 * of the moment and a round trip for each hop. Null if there is no chain.
 */
export function parallaxRoute(
  layers: number,
  placement: FlowPlacement,
  { msPerLayer, roundTripMs }: ParallaxCosts,
): { readonly devices: readonly number[]; readonly ms: number } | null {
  const placed = placement
    .flatMap((range, device) => (range === null ? [] : [{ device, ...range }]))
    .sort((a, b) => a.first - b.first || a.device - b.device)
  const best = new Map<number, { readonly ms: number; readonly from: number | null }>()
  let last: number | null = null
  for (const { device, first, end } of placed) {
    const own = (end - first) * msPerLayer(device)
    if (first === 0) best.set(device, { ms: own, from: null })
    for (const [from, { ms }] of [...best]) {
      const trip = placement[from]!.end === first ? roundTripMs(from, device) : undefined
      if (trip === undefined) continue
      const total = ms + trip + own
      if (total < (best.get(device)?.ms ?? Number.POSITIVE_INFINITY)) best.set(device, { ms: total, from })
    }
    const here = best.get(device)
    if (end === layers && here !== undefined && (last === null || here.ms < best.get(last)!.ms)) last = device
  }
  if (last === null) return null
  const devices: number[] = []
  for (let device: number | null = last; device !== null; device = best.get(device)!.from)
    devices.unshift(device)
  return { devices, ms: best.get(last)!.ms }
}
