import type { LayerRange } from '@deos/domain'
import type { FlowInstance } from '../flow/flow-instance.ts'

/**
 * What few devices carry together over a number of layers, arranged side by side and one after the other in any nesting.
 * Remembered by the kinds among them, so that it serves every flow that is aimed at.
 */
export class SeriesParallel {
  private readonly kindOf: readonly number[]
  private readonly known = new Map<string, Float64Array>()

  constructor(private readonly instance: FlowInstance) {
    const kinds = new Map<string, number>()
    this.kindOf = instance.devices.map(({ tokensPerSecondByLayers: rates }) => {
      const key = rates.join()
      const kind = kinds.get(key) ?? kinds.size
      kinds.set(key, kind)
      return kind
    })
  }

  sorted(members: readonly number[]): readonly number[] {
    return [...members].sort((a, b) => this.kindOf[a]! - this.kindOf[b]! || a - b)
  }

  keyOf(sorted: readonly number[]): string {
    return sorted.map((device) => this.kindOf[device]!).join()
  }

  /** `[n]`: the most tokens/s through n layers; index 0 is unused. */
  capacity(sorted: readonly number[]): Float64Array {
    const key = this.keyOf(sorted)
    const known = this.known.get(key)
    if (known !== undefined) return known
    const made = sorted.length === 1 ? this.alone(sorted[0]!) : this.together(sorted)
    this.known.set(key, made)
    return made
  }

  /** Lays layers over the devices such that they carry what {@link capacity} says. */
  lay(sorted: readonly number[], first: number, count: number, placement: (LayerRange | null)[]): void {
    if (sorted.length === 1) {
      placement[sorted[0]!] = { first, end: first + count }
      return
    }
    const wanted = this.capacity(sorted)[count]!
    for (const [one, other] of halves(sorted)) {
      const a = this.capacity(one)
      const b = this.capacity(other)
      if ((a[count] ?? 0) > 0 && (b[count] ?? 0) > 0 && a[count]! + b[count]! >= wanted) {
        this.lay(one, first, count, placement)
        this.lay(other, first, count, placement)
        return
      }
      for (let before = 1; before < count; before += 1) {
        if (Math.min(a[before] ?? 0, b[count - before] ?? 0) < wanted) continue
        this.lay(one, first, before, placement)
        this.lay(other, first + before, count - before, placement)
        return
      }
    }
  }

  private alone(device: number): Float64Array {
    const { devices, layers } = this.instance
    return Float64Array.from([0, ...devices[device]!.tokensPerSecondByLayers.slice(0, layers)])
  }

  private together(sorted: readonly number[]): Float64Array {
    const parts = halves(sorted).map(([one, other]) => [this.capacity(one), this.capacity(other)] as const)
    const longest = Math.max(...parts.map(([a, b]) => a.length + b.length - 2))
    const best = new Float64Array(Math.min(this.instance.layers, longest) + 1)
    for (const [a, b] of parts) {
      for (let count = 1; count < a.length && count < b.length; count += 1) {
        best[count] = Math.max(best[count]!, a[count]! + b[count]!)
      }
      for (let before = 1; before < a.length; before += 1) {
        const rate = a[before]!
        const most = Math.min(b.length, best.length - before)
        for (let behind = 1; behind < most; behind += 1) {
          const least = rate < b[behind]! ? rate : b[behind]!
          if (least > best[before + behind]!) best[before + behind] = least
        }
      }
    }
    return best
  }
}

/** All ways to divide into two, mirrored ones once. */
function halves(items: readonly number[]): readonly (readonly [readonly number[], readonly number[]])[] {
  const ways: [number[], number[]][] = []
  for (let mask = 1; mask < 2 ** items.length - 1; mask += 2) {
    ways.push([
      items.filter((_, at) => ((mask >> at) & 1) === 1),
      items.filter((_, at) => ((mask >> at) & 1) === 0),
    ])
  }
  return ways
}
