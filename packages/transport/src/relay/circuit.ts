import type { Socket } from 'node:net'

/** A share of bytes per second that several circuits use together. */
export class ByteRate {
  #free: number
  #atMs: number

  constructor(
    private readonly bytesPerSecond: number,
    private readonly now: () => number,
  ) {
    this.#free = bytesPerSecond
    this.#atMs = now()
  }

  /** @returns for how long whoever sent these has to wait */
  take(sizeBytes: number): number {
    const now = this.now()
    this.#free = Math.min(this.bytesPerSecond, this.#free + ((now - this.#atMs) * this.bytesPerSecond) / 1000)
    this.#atMs = now
    this.#free -= sizeBytes
    return this.#free >= 0 ? 0 : (-this.#free * 1000) / this.bytesPerSecond
  }
}

/** Passes bytes both ways until one end goes, or nothing comes for too long. */
export function splice(
  ends: readonly [Socket, Socket],
  rate: ByteRate,
  idleMs: number,
  onBytes: (sizeBytes: number) => void,
): void {
  const forward = (from: Socket, to: Socket): void => {
    let resting: NodeJS.Timeout | null = null
    from.on('data', (bytes) => {
      onBytes(bytes.length)
      const restMs = rate.take(bytes.length)
      const isFull = !to.write(bytes)
      if (restMs > 0 || isFull) from.pause()
      if (restMs <= 0) return
      resting = setTimeout(() => {
        resting = null
        if (!to.writableNeedDrain) from.resume()
      }, restMs)
    })
    to.on('drain', () => {
      if (resting === null) from.resume()
    })
    from.on('end', () => to.end())
    from.on('close', () => {
      if (resting !== null) clearTimeout(resting)
      to.destroy()
    })
    from.setTimeout(idleMs, () => from.destroy())
    from.resume()
  }
  forward(ends[0], ends[1])
  forward(ends[1], ends[0])
}
