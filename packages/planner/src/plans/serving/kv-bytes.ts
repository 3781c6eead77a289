import { kvWidths } from '@deos/domain'
import { lookBack, type ModelShape } from '../../models/index.ts'

/** K and V of a sequence in every layer; layers with a window keep no more than it. */
export function kvBytesByLayer(
  shape: ModelShape,
  tokens: number,
  bytesPerElement: number,
): readonly number[] {
  const { k, v } = kvWidths(shape)
  return Array.from(
    { length: shape.layers },
    (_, layer) => Math.min(tokens, lookBack(shape, layer)) * (k + v) * bytesPerElement,
  )
}

/** Of all layers together. */
export const kvBytesOf = (shape: ModelShape, tokens: number, bytesPerElement: number): number =>
  kvBytesByLayer(shape, tokens, bytesPerElement).reduce((sum, each) => sum + each, 0)
