import type { Basis, KvPart } from './basis.ts'
import { ByteWriter } from './byte-cursor.ts'
import { contentId } from './checksum.ts'
import type { KvTools, LevelName } from './level.ts'

const words = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length)

/** Two multiplicative hashes of words in sequence: every change of one word changes both. */
class WordHash {
  private low = 0x9e3779b9
  private high = 0x85ebca6b

  add(values: Uint32Array): void {
    let { low, high } = this
    for (let index = 0; index < values.length; index += 1) {
      const word = values[index]!
      low = Math.imul(low ^ word, 0x9e3779b1)
      low ^= low >>> 15
      high = Math.imul(high ^ word, 0x5f356495)
      high = (high << 13) | (high >>> 19)
    }
    this.low = low
    this.high = high
  }

  addFloats(values: Float32Array): void {
    this.add(words(values))
  }

  done(): Uint32Array {
    return Uint32Array.of(this.low, this.high)
  }
}

/**
 * What this side really computes a block with, as it lies in memory now: a basis or channel models, and how keys turn.
 * Written into the block and compared by its reader, so that tools which differ anywhere are refused whatever their id
 * says. Read anew for each block: about a nanosecond for each number, next to a product of it with every token.
 *
 * @returns 16 hexadecimal digits; null for levels that compute with none
 */
export function toolsFingerprint(level: LevelName, parts: readonly KvPart[], tools: KvTools): string | null {
  const hash = new WordHash()
  if (level === 'basis' || level === 'sharedBasis') {
    if (tools.basis === undefined) return null
    addBasis(hash, tools.basis)
  } else if (level === 'lossless') {
    if (tools.channelModel === undefined) return null
    for (const part of parts) {
      const model = tools.channelModel(part)
      hash.add(Uint32Array.of(model?.channels ?? 0, model?.span ?? 0))
      if (model === null) continue
      hash.addFloats(model.mean)
      hash.addFloats(model.lower)
    }
  } else return null
  const digest = new ByteWriter()
  for (const { layer, part } of parts) {
    const rotary = part === 'k' ? tools.rotary(layer) : null
    if (rotary === null) continue
    const { headDim, first, pairs, magnitude, frequencies } = rotary
    digest
      .u32(headDim)
      .u32(first)
      .u8(pairs === 'halves' ? 1 : 0)
    digest.floats([magnitude, ...frequencies])
  }
  for (const word of hash.done()) digest.u32(word)
  return contentId(digest.done())
}

function addBasis(hash: WordHash, basis: Basis): void {
  const { mean, vectors, deviations, regression, referenceMean } = basis
  hash.add(Uint32Array.of(basis.channels, basis.rank, basis.referenceChannels))
  hash.addFloats(Float32Array.from(basis.parts, ({ weight }) => weight))
  for (const values of [mean, vectors, deviations, regression, referenceMean]) hash.addFloats(values)
  for (const { table, one, more } of basis.classes) {
    hash.add(Uint32Array.from(table.frequencies))
    hash.add(Uint32Array.from(table.symbols))
    hash.addFloats(Float32Array.of(one, more))
  }
}
