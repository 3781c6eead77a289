import type { SailorReplica, SailorStage } from './plan.ts'
import type { BandwidthFit, Endpoint, SailorTables } from './tables.ts'

const floatBytes = 4
const bucketBytes = 500_000_000
const mostShards = 4

/** Seconds that messages between replicas take, by the fitted bandwidths. */
export class SailorLinks {
  readonly #fits = new Map<string, BandwidthFit>()

  constructor(private readonly tables: SailorTables) {}

  sendS(from: SailorReplica, to: SailorReplica, bytes: number): number {
    return seconds(bytes, this.#fit(from, to))
  }

  /** Activations of a microbatch that leave a layer, or their gradients coming back. */
  handedOverBytes(layer: number, microbatch: number): number {
    return this.tables.outputElements[layer]! * floatBytes * microbatch
  }

  /** All replicas of a stage sum their gradients; neighbours in their order exchange. */
  gradientsS({ first, end, replicas }: SailorStage): number {
    const parameters = this.tables.sizes.get(1)!.parameters
    const shards = Math.min(mostShards, ...replicas.map(({ tensorParallel }) => tensorParallel))
    const bytes = ((parameters[end]! - parameters[first]!) * floatBytes) / shards
    let worst = 0
    for (const [from, to] of distinctPairs(replicas.slice(0, -1), replicas.slice(1))) {
      worst = Math.max(worst, allReduceS(bytes, replicas.length, this.#fit(from, to, 1)))
    }
    return worst
  }

  #fit(from: SailorReplica, to: SailorReplica, count?: number): BandwidthFit {
    const sender: Endpoint = { ...from, count: count ?? from.tensorParallel }
    const receiver: Endpoint = { ...to, count: count ?? to.tensorParallel }
    const key = `${sender.zone} ${sender.accelerator} ${sender.count} ${receiver.zone} ${receiver.accelerator} ${receiver.count}`
    const known = this.#fits.get(key)
    if (known !== undefined) return known
    const fit = this.tables.fit(sender, receiver)
    this.#fits.set(key, fit)
    return fit
  }
}

/** Pairs at equal places, those that are like the pair before left out. */
export function* distinctPairs(
  left: readonly SailorReplica[],
  right: readonly SailorReplica[],
): Generator<readonly [SailorReplica, SailorReplica]> {
  for (const [place, from] of left.entries()) {
    const to = right[place]!
    if (place === 0 || from !== left[place - 1] || to !== right[place - 1]) yield [from, to]
  }
}

function seconds(bytes: number, [a, b, c]: BandwidthFit): number {
  if (bytes === 0) return 0
  const x = Math.log2(bytes / 1e6)
  return bytes / 1e9 / (a * x * x + b * x + c)
}

/** Ring all-reduce, in DeepSpeed's buckets. */
function allReduceS(bytes: number, members: number, fit: BandwidthFit): number {
  if (members <= 1) return 0
  const ring = (bucket: number) => 2 * (members - 1) * seconds(bucket / members, fit)
  const full = Math.floor(bytes / bucketBytes)
  const rest = bytes - full * bucketBytes
  return full * ring(bucketBytes) + (rest > 0 ? ring(rest) : 0)
}
