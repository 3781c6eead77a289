import { compressionPays } from '@deos/codec'

/** One block that was coded without loss, or read. */
export interface CodingSample {
  /** Of the cache. */
  readonly plainBytes: number
  /** Of the block that travels. */
  readonly codedBytes: number
  readonly durationMs: number
}

/** Samples that are needed before anything is decided, and those that are remembered: conditions change. */
const ENOUGH = 4
const KEPT = 32
/** One in so many blocks is coded all the same, so that what coding costs stays known. */
const LOOK_EVERY = 16
/** Coding has to lose by so much before blocks grow: bytes are paid for, too. */
const MARGIN = 1.25

class Recent {
  #samples: CodingSample[] = []

  get known(): boolean {
    return this.#samples.length >= ENOUGH
  }

  add(sample: CodingSample): void {
    this.#samples.push(sample)
    if (this.#samples.length > KEPT) this.#samples.shift()
  }

  get bytesPerSecond(): number {
    return (1000 * this.#sum('plainBytes')) / Math.max(0.001, this.#sum('durationMs'))
  }

  get ratio(): number {
    return this.#sum('plainBytes') / Math.max(1, this.#sum('codedBytes'))
  }

  #sum(field: keyof CodingSample): number {
    return this.#samples.reduce((sum, sample) => sum + sample[field], 0)
  }
}

/**
 * Whether blocks without loss are worth coding on a link, as measured: what travels fast is sooner there as it is stored.
 * Reading is taken to be as fast as coding while this stage has read too little.
 */
export class CodingWorth {
  readonly #encoded = new Recent()
  readonly #decoded = new Recent()
  #plain = 0

  encoded(sample: CodingSample): void {
    this.#encoded.add(sample)
  }

  decoded(sample: CodingSample): void {
    this.#decoded.add(sample)
  }

  /**
   * Whether the next block is to travel as it is stored.
   *
   * @param bytesPerSecond - that the link carries; `null` while nobody knows, and blocks are coded then
   */
  prefersPlain(bytesPerSecond: number | null): boolean {
    if (bytesPerSecond === null || bytesPerSecond <= 0 || !this.#encoded.known) return false
    const decoded = this.#decoded.known ? this.#decoded : this.#encoded
    const pays = compressionPays(this.#encoded.ratio, bytesPerSecond, {
      encodeBytesPerSecond: MARGIN * this.#encoded.bytesPerSecond,
      decodeBytesPerSecond: MARGIN * decoded.bytesPerSecond,
    })
    if (pays) return false
    this.#plain = (this.#plain + 1) % LOOK_EVERY
    return this.#plain !== 0
  }
}
