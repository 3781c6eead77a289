import type { SailorReplica } from './plan.ts'

/** Accelerators of one kind in one zone. */
export interface Pool {
  readonly accelerator: string
  readonly zone: string
  readonly count: number
}

/** For each kind of accelerator and each stage, the least tensor-parallel degree that will do; `Infinity` if none does. */
export type LeastDegrees = readonly (readonly number[])[]

/**
 * How many replicas of each stage each kind holds, with `replicas` of each stage. Kinds take stages in turn, first those
 * where another kind would need the most in comparison: of two kinds, that spares the second as much as can be.
 *
 * @param capacities - accelerators of each kind
 * @returns `[kind][stage]`; `null` if there are not enough accelerators
 */
export function shareStages(
  degrees: LeastDegrees,
  capacities: readonly number[],
  replicas: number,
): readonly (readonly number[])[] | null {
  const stages = degrees[0]!.length
  const missing = new Array<number>(stages).fill(replicas)
  const shares = degrees.map((own, kind) => {
    const otherwise = (stage: number) =>
      degrees
        .slice(kind + 1)
        .reduce((least, other) => Math.min(least, other[stage]!), Number.POSITIVE_INFINITY)
    const order = Array.from({ length: stages }, (_, stage) => stage)
      .filter((stage) => Number.isFinite(own[stage]!))
      .sort((a, b) => otherwise(b) / own[b]! - otherwise(a) / own[a]! || a - b)
    let left = capacities[kind]!
    const share = new Array<number>(stages).fill(0)
    for (const stage of order) {
      const taken = Math.min(missing[stage]!, Math.floor(left / own[stage]!))
      share[stage] = taken
      missing[stage] = missing[stage]! - taken
      left -= taken * own[stage]!
    }
    return share
  })
  return missing.every((count) => count === 0) ? shares : null
}

/** How replicas of a stage are dealt to zones: each zone its part of every stage, or one zone after the other. */
export type Dealing = 'in proportion' | 'in turn'

/**
 * Gives every replica a zone, in the order of `pools`, so that equal places of consecutive stages lie in the same zone
 * (`in proportion`), or that stages lie in as few zones as possible (`in turn`).
 *
 * @returns replicas of each stage; those of one zone and kind are the same object. `null` if a zone's accelerators do not
 *   divide as they would have to
 */
export function placeReplicas(
  shares: readonly (readonly number[])[],
  degrees: LeastDegrees,
  pools: readonly Pool[],
  dealing: Dealing,
): readonly (readonly SailorReplica[])[] | null {
  const kinds = [...new Set(pools.map(({ accelerator }) => accelerator))].sort()
  const left = pools.map(({ count }) => count)
  const result: SailorReplica[][] = []
  for (let stage = 0; stage < shares[0]!.length; stage += 1) {
    const counts = pools.map(() => 0)
    for (const [kind, accelerator] of kinds.entries()) {
      const own = pools.flatMap((pool, at) => (pool.accelerator === accelerator ? [at] : []))
      const wanted = { replicas: shares[kind]![stage]!, tensorParallel: degrees[kind]![stage]! }
      if (!deal(wanted, dealing, own, pools, left, counts)) return null
    }
    result.push(
      pools.flatMap(({ accelerator, zone }, at) => {
        const tensorParallel = degrees[kinds.indexOf(accelerator)]![stage]!
        return new Array<SailorReplica>(counts[at]!).fill({ accelerator, zone, tensorParallel })
      }),
    )
  }
  return result
}

function deal(
  wanted: { readonly replicas: number; readonly tensorParallel: number },
  dealing: Dealing,
  own: readonly number[],
  pools: readonly Pool[],
  left: number[],
  counts: number[],
): boolean {
  const { replicas, tensorParallel } = wanted
  if (replicas === 0) return true
  const total = own.reduce((sum, at) => sum + pools[at]!.count, 0)
  let missing = replicas
  const give = (at: number, most: number) => {
    const given = Math.min(most, missing, Math.floor(left[at]! / tensorParallel))
    counts[at] = counts[at]! + given
    left[at] = left[at]! - given * tensorParallel
    missing -= given
  }
  if (dealing === 'in proportion') {
    for (const at of own) give(at, Math.floor((replicas * pools[at]!.count) / total))
  }
  for (const at of own) give(at, missing)
  return missing === 0
}
