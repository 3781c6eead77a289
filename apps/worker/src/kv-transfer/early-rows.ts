import type { PositionRange } from '@deos/domain'
import type { SessionKey } from '@deos/protocol'

/** K and V of one layer that an engine told of amid a step. */
export interface LayerRows {
  readonly key: SessionKey
  readonly layer: number
  /** Position of the first row. */
  readonly first: number
  readonly count: number
  readonly keys: Uint8Array
  readonly values: Uint8Array
}

/**
 * Rows of steps that are still computed: they cannot be read out of the engine before it is through. Kept until then, a
 * chunk of each prompt.
 */
export class EarlyRows {
  readonly #rows = new Map<SessionKey, LayerRows[]>()

  add(rows: LayerRows): void {
    const known = this.#rows.get(rows.key)
    if (known === undefined) this.#rows.set(rows.key, [rows])
    else known.push(rows)
  }

  /** Rows of these positions; `null` if they are not all there. */
  find(key: SessionKey, layer: number, part: 'key' | 'value', wanted: PositionRange): Uint8Array | null {
    const rows = this.#rows
      .get(key)
      ?.find((one) => one.layer === layer && one.first <= wanted.first && one.first + one.count >= wanted.end)
    if (rows === undefined) return null
    const bytes = part === 'key' ? rows.keys : rows.values
    const rowBytes = bytes.length / rows.count
    return bytes.subarray((wanted.first - rows.first) * rowBytes, (wanted.end - rows.first) * rowBytes)
  }

  /** The engine has them now, or nobody wants them. */
  drop(key: SessionKey): void {
    this.#rows.delete(key)
  }

  clear(): void {
    this.#rows.clear()
  }
}
