import type { Basis, KvPart } from './basis.ts'
import { ByteWriter } from './byte-cursor.ts'
import { contentId } from './checksum.ts'
import type { KvTools, LevelName } from './level.ts'

const words = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length)

/** Four multiplicative hashes that take words in turn: every change of one word changes the one that took it. */
class WordHash {
  private lanes = Int32Array.of(0x1e3779b9, 0x05ebca6b, 0x42b2ae35, 0x27d4eb2f)

  add(values: Uint32Array): void {
    let [first, second, third, fourth] = [this.lanes[0]!, this.lanes[1]!, this.lanes[2]!, this.lanes[3]!]
    const whole = values.length & ~3
    for (let index = 0; index < whole; index += 4) {
      first = mix(first ^ values[index]!)
      second = mix(second ^ values[index + 1]!)
      third = mix(third ^ values[index + 2]!)
      fourth = mix(fourth ^ values[index + 3]!)
    }
    for (let index = whole; index < values.length; index += 1) first = mix(first ^ values[index]!)
    // How many words there were, lest the end of one array be the beginning of the next.
    this.lanes.set([mix(first ^ values.length), second, third, fourth])
  }

  addFloats(values: Float32Array): void {
    this.add(words(values))
  }

  done(): Int32Array {
    return this.lanes
  }
}

function mix(word: number): number {
  const product = Math.imul(word, 0x9e3779b1)
  return product ^ (product >>> 15)
}

/**
 * What this side really computes a block with, as it lies in memory now: a basis or channel models, and how keys turn.
 * Written into the block and compared by its reader, so that tools which differ anywhere are refused whatever their id
 * says. Read anew for each block: less than a nanosecond for each number, next to a product of it with every token.
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
  for (const word of hash.done()) digest.u32(word >>> 0)
  return contentId(digest.done())
}

function addBasis(hash: WordHash, basis: Basis): void {
  const { mean, vectors, deviations, regression, referenceMean } = basis
  hash.add(Uint32Array.of(basis.channels, basis.rank, basis.referenceChannels))
  hash.addFloats(Float32Array.from(basis.parts, ({ weight }) => weight))
  for (const values of [mean, vectors, deviations, regression, referenceMean]) hash.addFloats(values)
  for (const { table, one, more } of basis.classes) {
    hash.add(Uint32Array.from(table.frequencies))
    hash.add(new Uint32Array(table.symbols.buffer, table.symbols.byteOffset, table.symbols.length / 4))
    hash.addFloats(Float32Array.of(one, more))
  }
}
