import { type Basis, besideEachOther } from './basis.ts'
import type { BlockHeader } from './block-frame.ts'
import type { KvMatrix } from './kv-matrix.ts'
import type { KvTools } from './level.ts'
import { decodeLossless, encodeLossless } from './lossless.ts'
import { rotateKeys } from './rotary.ts'

type ExactHeader = Pick<BlockHeader, 'parts' | 'tokens' | 'firstPosition' | 'exact'>

/** The exact tokens of all parts side by side, expected to be the mean of the basis, turned by their positions. */
export function encodeExact(
  header: ExactHeader,
  values: readonly Uint16Array[],
  basis: Basis,
  tools: KvTools,
): Uint8Array<ArrayBuffer> {
  const matrix = { ...exactShape(header, basis), values: exactRows(header, values, basis) }
  return encodeLossless(matrix, { expected: expectedRows(header, basis, tools) })
}

/**
 * Puts the exact tokens into the values of the parts, `[tokens, channels]` each.
 *
 * @throws CorruptBlockError if the bytes are not such tokens
 */
export function decodeExact(
  bytes: Uint8Array,
  header: ExactHeader,
  values: readonly Uint16Array[],
  basis: Basis,
  tools: KvTools,
): void {
  const shape = exactShape(header, basis)
  const rows = decodeLossless(bytes, shape, { expected: expectedRows(header, basis, tools) })
  for (const [row, token] of exactPlaces(header).entries()) {
    let offset = row * shape.channels
    for (const [index, { channels }] of header.parts.entries()) {
      values[index]!.set(rows.subarray(offset, offset + channels), token * channels)
      offset += channels
    }
  }
}

const exactShape = ({ exact }: ExactHeader, { channels }: Basis): Omit<KvMatrix, 'values'> => ({
  tokens: exact.first + exact.last,
  channels,
})

/** Which tokens of the block are exact. */
const exactPlaces = ({ tokens, exact }: ExactHeader): readonly number[] =>
  Array.from({ length: exact.first + exact.last }, (_, row) =>
    row < exact.first ? row : tokens - exact.last + row - exact.first,
  )

function exactRows(header: ExactHeader, values: readonly Uint16Array[], basis: Basis): Uint16Array {
  const places = exactPlaces(header)
  const rows = new Uint16Array(places.length * basis.channels)
  for (const [row, token] of places.entries()) {
    let offset = row * basis.channels
    for (const [index, { channels }] of header.parts.entries()) {
      rows.set(values[index]!.subarray(token * channels, (token + 1) * channels), offset)
      offset += channels
    }
  }
  return rows
}

function expectedRows(header: ExactHeader, basis: Basis, tools: KvTools): Float32Array {
  const places = exactPlaces(header)
  const positions = places.map((token) => header.firstPosition + token)
  let offset = 0
  const matrices = header.parts.map(({ layer, part, channels }) => {
    const mean = basis.mean.subarray(offset, offset + channels)
    offset += channels
    const rows = new Float32Array(places.length * channels)
    for (let row = 0; row < places.length; row += 1) rows.set(mean, row * channels)
    const rotary = part === 'k' ? tools.rotary(layer) : null
    if (rotary !== null) rotateKeys(rows, positions, rotary, 'rotate')
    return rows
  })
  return besideEachOther(basis, matrices)
}
