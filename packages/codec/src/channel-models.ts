import type { KvPart } from './basis.ts'
import { ByteReader, ByteWriter } from './byte-cursor.ts'
import { contentId, crc32 } from './checksum.ts'
import { CodecInputError, CorruptBlockError } from './errors.ts'
import type { ChannelModel } from './innovation.ts'

/** Channel models of a model's parts under one name, for `KvTools`. */
export interface ChannelModelSet {
  /** Hash of the bytes, 16 hexadecimal digits. */
  readonly channelModelsId: string
  readonly channelModel: (part: KvPart) => ChannelModel | null
}

const MAGIC = 0x4d564b44 // DKVM
const MAX_PARTS = 4096

/** @throws CodecInputError if extents of a model do not fit each other or its part */
export function writeChannelModels(
  models: readonly { readonly part: KvPart; readonly model: ChannelModel }[],
): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter().u32(MAGIC).u16(models.length)
  for (const { part, model } of models) {
    const { channels, span, mean, lower } = model
    if (channels !== part.channels || mean.length !== channels || lower.length !== channels * span)
      throw new CodecInputError(`The model of ${part.part}${part.layer} is not of ${part.channels} channels.`)
    writer
      .u16(part.layer)
      .u8(part.part === 'k' ? 0 : 1)
      .u32(channels)
      .u32(span)
      .floats(mean)
      .floats(lower)
  }
  const body = writer.done()
  return new ByteWriter().append(body).u32(crc32(body)).done()
}

/** @throws CorruptBlockError if the bytes are no sound set of models */
export function readChannelModels(bytes: Uint8Array): ChannelModelSet {
  if (bytes.length < 10) throw new CorruptBlockError(`${bytes.length} bytes are too few for channel models.`)
  const body = bytes.subarray(0, bytes.length - 4)
  if (crc32(body) !== new ByteReader(bytes.subarray(bytes.length - 4)).u32())
    throw new CorruptBlockError('The checksum of the channel models does not fit their bytes.')
  const reader = new ByteReader(body)
  const magic = reader.u32()
  const count = reader.u16()
  if (magic !== MAGIC || count > MAX_PARTS) throw new CorruptBlockError('The bytes are not channel models.')
  const models = new Map<string, ChannelModel>()
  for (let index = 0; index < count; index += 1) {
    const layer = reader.u16()
    const part = reader.u8() === 0 ? 'k' : 'v'
    models.set(`${part}${layer}`, readModel(reader))
  }
  if (reader.remaining !== 0)
    throw new CorruptBlockError(`${reader.remaining} bytes follow the channel models.`)
  return channelModelSet(contentId(bytes), models)
}

/** @param models - by `${part}${layer}` */
export const channelModelSet = (
  channelModelsId: string,
  models: ReadonlyMap<string, ChannelModel>,
): ChannelModelSet => ({
  channelModelsId,
  channelModel: ({ layer, part, channels }) => {
    const model = models.get(`${part}${layer}`)
    return model?.channels === channels ? model : null
  },
})

function readModel(reader: ByteReader): ChannelModel {
  const channels = reader.u32()
  const span = reader.u32()
  if (span < 1 || channels < 1 || channels % span !== 0 || 4 * channels * (1 + span) > reader.remaining)
    throw new CorruptBlockError(
      `${channels} channels in spans of ${span} do not fit ${reader.remaining} bytes.`,
    )
  const mean = reader.floats(channels)
  const lower = reader.floats(channels * span)
  if (!mean.every(Number.isFinite) || !lower.every(Number.isFinite))
    throw new CorruptBlockError('Channel models hold only finite numbers.')
  return { channels, span, mean, lower }
}
