import { type Basis, type KvPart, readBasis } from './basis.ts'
import { ByteReader, ByteWriter } from './byte-cursor.ts'
import { type ChannelModelSet, channelModelSet } from './channel-models.ts'
import { contentId, crc32 } from './checksum.ts'
import { CalibrationError, CodecInputError, CorruptBlockError } from './errors.ts'
import { halfValues, toHalf } from './half.ts'
import type { ChannelModel } from './innovation.ts'
import { type ExactTokens, type KvTools, type Level, levelNumbers } from './level.ts'
import type { RotaryOf } from './rotary.ts'

/**
 * How blocks that travel are coded, by the number that plans and blocks name: 0 exact, then int8 and Hadamard int4, which
 * need nothing, then one for each step of a calibration, the finest first. Of two numbers the higher is the coarser.
 */
export const FIRST_STEP_LEVEL = 3

/** The first positions of a sequence are sent exactly: they look like no others, and much attention goes there. */
export const SINK_TOKENS = 4

/** What a layer's keys and values cost at a level, on the calibration text. */
export interface LayerCost {
  /** Of both parts, headers included. */
  readonly bytesPerToken: number
  /** Expected divergence in nats: sensitivities times squared errors. */
  readonly harm: number
}

export interface LevelCost {
  readonly level: number
  /** One for each layer. */
  readonly layers: readonly LayerCost[]
}

/** What `deos model calibrate` learns of a model; both sides of a transfer have the same or none. */
export interface CalibrationContent {
  /** Fingerprint of the weights, and a name for people. */
  readonly model: string
  readonly modelName: string
  /** Tokens of text that it was fitted to. */
  readonly tokens: number
  readonly parts: readonly {
    readonly part: KvPart
    readonly channelModel: ChannelModel
    /** Bytes of the part's own basis. */
    readonly basis: Uint8Array
  }[]
  /** Of the levels {@link FIRST_STEP_LEVEL} and up, rising. */
  readonly steps: readonly number[]
  /** Of level 0 and those worth choosing. */
  readonly costs: readonly LevelCost[]
}

export interface Calibration extends Omit<CalibrationContent, 'parts'>, ChannelModelSet {
  /** Hash of the bytes, 16 hexadecimal digits. Both sides compare it before anything is coded with it. */
  readonly id: string
  readonly sizeBytes: number
  /** `null` for parts that were not calibrated. */
  readonly basis: (part: KvPart) => Basis | null
}

const MAGIC = 0x43564b44 // DKVC
/** Raised whenever the file or what blocks mean changes. */
const VERSION = 1
const MAX_PARTS = 4096
const MAX_STEPS = 64
const text = { write: new TextEncoder(), read: new TextDecoder() }

/** @throws CodecInputError if a model does not fit its part or steps do not rise */
export function writeCalibration(content: CalibrationContent): Uint8Array<ArrayBuffer> {
  const { model, modelName, tokens, parts, steps, costs } = content
  if (steps.length > MAX_STEPS || steps.some((step, at) => !(step > (steps[at - 1] ?? 0))))
    throw new CodecInputError(`Steps must rise from above 0, at most ${MAX_STEPS} of them.`)
  const writer = new ByteWriter().u32(MAGIC).u16(VERSION)
  for (const string of [model, modelName]) {
    const bytes = text.write.encode(string)
    writer.u16(bytes.length).append(bytes)
  }
  writer.u32(tokens).u16(parts.length)
  for (const { part, channelModel, basis } of parts) {
    writer.u16(part.layer).u8(part.part === 'k' ? 0 : 1)
    writeModel(writer, part, channelModel)
    writer.u32(basis.length).append(basis)
  }
  writer.u8(steps.length).floats(steps).u8(costs.length)
  for (const { level, layers } of costs) {
    writer.u8(level).u16(layers.length)
    for (const { bytesPerToken, harm } of layers) writer.f32(bytesPerToken).f32(harm)
  }
  const body = writer.done()
  return new ByteWriter().append(body).u32(crc32(body)).done()
}

/** Only what is below the diagonal, in halves: the rest is known. */
function writeModel(writer: ByteWriter, part: KvPart, { channels, span, mean, lower }: ChannelModel): void {
  if (channels !== part.channels || mean.length !== channels || lower.length !== channels * span)
    throw new CodecInputError(`The model of ${part.part}${part.layer} is not of ${part.channels} channels.`)
  writer.u32(channels).u32(span).floats(mean)
  for (let row = 0; row < channels; row += 1)
    writer.halves(Array.from(lower.subarray(row * span, row * span + (row % span)), toHalf))
}

/**
 * @param model - fingerprint that it must be of
 * @throws CorruptBlockError if the bytes are no sound calibration; CalibrationError if they are of another model or of
 *   another version of the codec
 */
export function readCalibration(bytes: Uint8Array, model: string): Calibration {
  const body = bytes.subarray(0, Math.max(0, bytes.length - 4))
  const reader = new ByteReader(body)
  if (bytes.length < 16 || reader.u32() !== MAGIC)
    throw new CorruptBlockError('The bytes are not a calibration.')
  if (crc32(body) !== new ByteReader(bytes.subarray(bytes.length - 4)).u32())
    throw new CorruptBlockError('The checksum of the calibration does not fit its bytes.')
  const version = reader.u16()
  if (version !== VERSION)
    throw new CalibrationError(`The calibration is of version ${version}; this codec reads ${VERSION}.`)
  const [of, modelName] = [readText(reader), readText(reader)]
  if (of !== model)
    throw new CalibrationError(
      `The calibration is of ${modelName} (${of.slice(0, 12)}), not of model ${model.slice(0, 12)}.`,
    )
  const tokens = reader.u32()
  const { models, bases } = readParts(reader)
  const stepCount = reader.u8()
  const steps = Array.from(reader.floats(stepCount))
  if (steps.length > MAX_STEPS || steps.some((step, at) => !(step > (steps[at - 1] ?? 0))))
    throw new CorruptBlockError('The steps of the calibration do not rise.')
  const costs = readCosts(reader, FIRST_STEP_LEVEL + stepCount)
  if (reader.remaining !== 0) throw new CorruptBlockError(`${reader.remaining} bytes follow the calibration.`)
  const id = contentId(bytes)
  return {
    ...{ id, sizeBytes: bytes.length, model, modelName, tokens, steps, costs },
    ...channelModelSet(id, models),
    basis: ({ layer, part, channels }) => {
      const basis = bases.get(`${part}${layer}`)
      return basis?.channels === channels ? basis : null
    },
  }
}

function readText(reader: ByteReader): string {
  return text.read.decode(reader.slice(reader.u16()))
}

function readParts(reader: ByteReader) {
  const count = reader.u16()
  if (count > MAX_PARTS) throw new CorruptBlockError(`A calibration cannot be of ${count} parts.`)
  const models = new Map<string, ChannelModel>()
  const bases = new Map<string, Basis>()
  for (let index = 0; index < count; index += 1) {
    const layer = reader.u16()
    const part = reader.u8() === 0 ? 'k' : 'v'
    const model = readModel(reader)
    const basis = readBasis(reader.slice(reader.u32()))
    const [own] = basis.parts
    if (basis.parts.length !== 1 || own?.layer !== layer || own.part !== part || basis.referenceChannels > 0)
      throw new CorruptBlockError(`The basis of ${part}${layer} is of something else.`)
    models.set(`${part}${layer}`, model)
    bases.set(`${part}${layer}`, basis)
  }
  return { models, bases }
}

function readModel(reader: ByteReader): ChannelModel {
  const channels = reader.u32()
  const span = reader.u32()
  const sound = span >= 1 && channels >= 1 && channels % span === 0
  if (!sound || 4 * channels + channels * (span - 1) > reader.remaining)
    throw new CorruptBlockError(
      `${channels} channels in spans of ${span} do not fit ${reader.remaining} bytes.`,
    )
  const mean = reader.floats(channels)
  const lower = new Float32Array(channels * span)
  for (let row = 0; row < channels; row += 1) {
    const halves = reader.halves(row % span)
    for (const [at, half] of halves.entries()) lower[row * span + at] = halfValues[half]!
  }
  if (!mean.every(Number.isFinite) || !lower.every(Number.isFinite))
    throw new CorruptBlockError('Channel models hold only finite numbers.')
  return { channels, span, mean, lower }
}

function readCosts(reader: ByteReader, levels: number): readonly LevelCost[] {
  return Array.from({ length: reader.u8() }, () => {
    const level = reader.u8()
    if (level >= levels) throw new CorruptBlockError(`The calibration has no level ${level}.`)
    const layers = Array.from({ length: reader.u16() }, () => {
      const [bytesPerToken, harm] = reader.floats(2)
      if (!(bytesPerToken! >= 0 && harm! >= 0 && bytesPerToken! + harm! < Number.POSITIVE_INFINITY))
        throw new CorruptBlockError(`Costs of level ${level} are no finite counts.`)
      return { bytesPerToken: bytesPerToken!, harm: harm! }
    })
    return { level, layers }
  })
}

/** What a block of one part is coded with, at whichever level. */
export function calibratedTools(
  { channelModelsId, channelModel, basis: basisOf }: Calibration,
  rotary: RotaryOf,
  part: KvPart,
): KvTools {
  const basis = basisOf(part)
  return { rotary, channelModelsId, channelModel, ...(basis !== null && { basis }) }
}

/**
 * What a numbered level is for some positions.
 *
 * @param steps - of the calibration, none without one
 * @returns `null` for a number that stands for nothing here
 */
export function levelOf(
  number: number,
  steps: readonly number[],
  { firstPosition, tokens }: { readonly firstPosition: number; readonly tokens: number },
): Level | null {
  if (number === levelNumbers.lossless) return { name: 'lossless' }
  if (number === levelNumbers.int8) return { name: 'int8' }
  if (number === levelNumbers.hadamard4) return { name: 'hadamard4' }
  const step = steps[number - FIRST_STEP_LEVEL]
  if (step === undefined) return null
  const exact: ExactTokens = { first: Math.min(tokens, Math.max(0, SINK_TOKENS - firstPosition)), last: 0 }
  return { name: 'basis', step, exact }
}
