import { DomainError } from '@deos/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readChannelModels, writeChannelModels } from './channel-models.ts'
import { crc32 } from './checksum.ts'
import { CodecInputError, CorruptBlockError } from './errors.ts'

const part = { layer: 3, part: 'k' as const, channels: 4 }
const model = {
  ...{ channels: 4, span: 2 },
  mean: Float32Array.from([1, 2, 3, 4]),
  lower: Float32Array.from([0, 0, 0.5, 0, 0, 0, -1, 0]),
}

test('models come back under a name of their content', () => {
  const bytes = writeChannelModels([{ part, model }])
  const set = readChannelModels(bytes)
  expect(set.channelModel(part)).toEqual(model)
  expect(set.channelModel({ ...part, layer: 4 })).toBeNull()
  expect(set.channelModel({ ...part, channels: 8 })).toBeNull()
  const other = writeChannelModels([{ part, model: { ...model, mean: new Float32Array(4) } }])
  expect(readChannelModels(other).channelModelsId).not.toBe(set.channelModelsId)
})

test('changed bytes are refused, forged ones end in a domain error at worst', () => {
  const bytes = writeChannelModels([{ part, model }])
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = bytes.slice()
      changed[at] = changed[at]! ^ flip
      expect(() => readChannelModels(changed)).toThrow(CorruptBlockError)
      new DataView(changed.buffer).setUint32(changed.length - 4, crc32(changed.subarray(0, -4)), true)
      try {
        readChannelModels(changed)
      } catch (error) {
        expect(error).toBeInstanceOf(DomainError)
      }
    }),
  )
})

test('a model of other extents than its part is refused', () => {
  expect(() => writeChannelModels([{ part: { ...part, channels: 5 }, model }])).toThrow(CodecInputError)
})
