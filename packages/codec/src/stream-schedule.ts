import { CodecInputError } from './errors.ts'

/** A layer's part of a prefill: when its KV exists, and how long it then takes to travel. */
export interface LayerTiming {
  readonly computeMs: number
  readonly transferMs: number
}

export interface StreamForecast {
  /** From the start of the prefill until the last block has arrived. */
  readonly finishMs: number
  /** What is left to wait for after the last layer is computed. */
  readonly exposedMs: number
  /** First layer of the stretch that keeps the link busy to the end: only smaller blocks from here on finish sooner. */
  readonly bindingLayer: number
}

/**
 * Each layer's blocks leave in order as soon as they are computed, over one link:
 * `finish = max over l of (Σ_{i≤l} compute + Σ_{i≥l} transfer)`.
 *
 * @throws CodecInputError without layers, or for times that are negative or not finite
 */
export function forecastStream(layers: readonly LayerTiming[]): StreamForecast {
  checkTimings(layers)
  const computeMs = layers.reduce((sum, layer) => sum + layer.computeMs, 0)
  let before = 0
  let after = layers.reduce((sum, layer) => sum + layer.transferMs, 0)
  let finishMs = Number.NEGATIVE_INFINITY
  let bindingLayer = 0
  for (const [index, layer] of layers.entries()) {
    before += layer.computeMs
    if (before + after > finishMs) {
      finishMs = before + after
      bindingLayer = index
    }
    after -= layer.transferMs
  }
  return { finishMs, exposedMs: Math.max(0, finishMs - computeMs), bindingLayer }
}

function checkTimings(layers: readonly LayerTiming[]): void {
  if (layers.length === 0) throw new CodecInputError('A stream has at least one layer.')
  for (const [index, { computeMs, transferMs }] of layers.entries()) {
    if (!(computeMs >= 0 && transferMs >= 0 && computeMs + transferMs < Number.POSITIVE_INFINITY))
      throw new CodecInputError(
        `Layer ${index} cannot take ${computeMs} ms to compute and ${transferMs} ms to send.`,
      )
  }
}

/** How fast a level's bytes are made and unmade, in bytes of the cache per second. */
export interface CodecRates {
  readonly encodeBytesPerSecond: number
  readonly decodeBytesPerSecond: number
}

/**
 * Whether a level saves time on a link: `(1 − 1/ratio) / goodput > 1/encode + 1/decode`, for each byte of the cache.
 *
 * @param ratio - bytes of the cache over bytes on the wire
 */
export function compressionPays(ratio: number, goodputBytesPerSecond: number, rates: CodecRates): boolean {
  const { encodeBytesPerSecond, decodeBytesPerSecond } = rates
  if (!(ratio > 0 && goodputBytesPerSecond > 0 && encodeBytesPerSecond > 0 && decodeBytesPerSecond > 0))
    throw new CodecInputError('Ratio, goodput and rates must be positive.')
  return (1 - 1 / ratio) / goodputBytesPerSecond > 1 / encodeBytesPerSecond + 1 / decodeBytesPerSecond
}

/**
 * Bytes per second to plan with: four fifths of the harmonic mean of what was measured lately, since slow moments cost
 * more than fast ones save.
 */
export function plannedGoodput(recentBytesPerSecond: readonly number[]): number {
  if (recentBytesPerSecond.length === 0 || !recentBytesPerSecond.every((rate) => rate > 0))
    throw new CodecInputError('Goodput is planned from positive measurements.')
  const inverse = recentBytesPerSecond.reduce((sum, rate) => sum + 1 / rate, 0)
  return (0.8 * recentBytesPerSecond.length) / inverse
}
