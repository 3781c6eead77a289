import type { KvAck, KvBlock } from '@deos/protocol'

interface Sample {
  readonly bytes: number
  readonly durationMs: number
}

interface Way {
  /** Blocks under way, with when they left. */
  readonly underWay: Map<string, { readonly bytes: number; readonly atMs: number }>
  ackedMs: number
  readonly samples: Sample[]
}

/** Samples that are needed before anything is said, and those that are remembered: conditions change. */
const ENOUGH = 4
const KEPT = 16
/** A block this small shows how long the way is, not how much goes through. */
const LEAST_BYTES = 4096

type Named = Pick<KvBlock, 'session' | 'epoch' | 'block' | 'layer' | 'part' | 'level'>

/**
 * What links carry that measure nothing themselves: a block takes from when it left, or from the answer to the one before
 * it, until its own answer. As that counts the way there and back and what the receiver does with the block, the best of
 * the last few is taken, and it is less than the link could carry.
 */
export class AckedGoodput {
  readonly #ways = new Map<string, Way>()

  /** In bytes a second; `null` while too little is known. */
  of(peer: string): number | null {
    const samples = this.#ways.get(peer)?.samples ?? []
    if (samples.length < ENOUGH) return null
    return Math.max(...samples.map(({ bytes, durationMs }) => (1000 * bytes) / durationMs))
  }

  sent(peer: string, block: KvBlock, nowMs: number): void {
    const way = this.#ways.get(peer) ?? { underWay: new Map(), ackedMs: nowMs, samples: [] }
    this.#ways.set(peer, way)
    way.underWay.set(nameOf(block), { bytes: block.bytes.length, atMs: nowMs })
  }

  acked(peer: string, { session, epoch, verdicts }: KvAck, nowMs: number): void {
    const way = this.#ways.get(peer)
    if (way === undefined) return
    let bytes = 0
    let firstMs = nowMs
    for (const verdict of verdicts) {
      const name = nameOf({ session, epoch, ...verdict })
      const block = way.underWay.get(name)
      if (block === undefined) continue
      way.underWay.delete(name)
      bytes += block.bytes
      firstMs = Math.min(firstMs, block.atMs)
    }
    const durationMs = nowMs - Math.max(firstMs, way.ackedMs)
    way.ackedMs = nowMs
    if (bytes < LEAST_BYTES || durationMs <= 0) return
    way.samples.push({ bytes, durationMs })
    if (way.samples.length > KEPT) way.samples.shift()
  }

  /** Nobody answers for blocks of the session any more. */
  over(session: string): void {
    for (const { underWay } of this.#ways.values()) {
      for (const name of underWay.keys()) if (name.startsWith(`${session},`)) underWay.delete(name)
    }
  }

  /** Blocks that were not answered yet. */
  get waiting(): number {
    return [...this.#ways.values()].reduce((sum, { underWay }) => sum + underWay.size, 0)
  }

  /** The link is gone, and with it whatever was under way. */
  lost(peer: string): void {
    this.#ways.get(peer)?.underWay.clear()
  }
}

const nameOf = ({ session, epoch, block, layer, part, level }: Named): string =>
  [session, epoch, block, layer, part, level].join()
