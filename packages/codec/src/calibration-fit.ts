import { type Basis, type KvPart, readBasis } from './basis.ts'
import {
  type CalibrationContent,
  calibratedTools,
  FIRST_STEP_LEVEL,
  type LayerCost,
  type LevelCost,
  levelOf,
  readCalibration,
  SINK_TOKENS,
  writeCalibration,
} from './calibration.ts'
import { CodecInputError } from './errors.ts'
import { fitBasis } from './fit-basis.ts'
import { GramAccumulator } from './gram.ts'
import { halfValues, widenHalves } from './half.ts'
import { channelOrder, fitChannelModel } from './innovation.ts'
import { decodeKvBlock, encodeKvBlock } from './kv-block.ts'
import type { KvTools } from './level.ts'
import { type RotaryOf, rotateKeys } from './rotary.ts'

/** Names a part in maps. */
export const partName = ({ layer, part }: KvPart): string => `${part}${layer}`

/** K and V of a text from position 0 on, `[tokens, channels]` in halves for each part, as a cache holds them. */
export interface CalibrationContext {
  readonly tokens: number
  readonly values: (part: KvPart) => Uint16Array
}

export interface CalibrationSettings extends Pick<CalibrationContent, 'model' | 'modelName'> {
  /** Of each part, by {@link partName}: divergence in nats for each unit of mean squared error. */
  readonly sensitivity: ReadonlyMap<string, number>
  /** Expected divergences, in nats, of the steps to offer. */
  readonly targets: readonly number[]
}

/** Wider models would take more bytes than they save. */
const MAX_SPAN = 256
/** Positions whose cost stands for all. */
const BLOCK_TOKENS = 128

interface PartStatistics {
  readonly part: KvPart
  readonly gram: GramAccumulator
}

/**
 * Fits the tools of a model to texts: channel models, a basis for each part, steps, and what they cost. Contexts are
 * counted as they come, so that any amount of text can be.
 */
export class CalibrationFitter {
  readonly #parts: readonly PartStatistics[]
  readonly #kept: CalibrationContext[] = []
  #tokens = 0

  /** @param parts - all parts of the model that hold anything */
  constructor(
    parts: readonly KvPart[],
    private readonly rotary: RotaryOf,
  ) {
    this.#parts = parts.map((part) => ({ part, gram: new GramAccumulator(part.channels) }))
  }

  get tokens(): number {
    return this.#tokens
  }

  /** @throws CodecInputError if values do not fit their part or are not finite */
  fit(context: CalibrationContext): void {
    for (const { part, gram } of this.#parts)
      gram.add(plainKeys(context, part, this.rotary).subarray(SINK_TOKENS * part.channels))
    this.#tokens += context.tokens
  }

  /** Keeps a context, by which the shapes of components are learnt and costs are measured. It should not be fitted. */
  keep(context: CalibrationContext): void {
    this.#kept.push(context)
  }

  /**
   * Bytes of the calibration.
   *
   * @throws CodecInputError if too little was fitted, none was kept, or a part has no sensitivity
   */
  finish({ model, modelName, sensitivity, targets }: CalibrationSettings): Uint8Array<ArrayBuffer> {
    if (this.#kept.length === 0) throw new CodecInputError('Costs need a context to be measured on.')
    const scale = geometricMean([...sensitivity.values()])
    const smallestStep = Math.sqrt((12 * Math.min(...targets)) / (scale * this.#parts.length))
    const parts = this.#parts.map(({ part, gram }) => {
      const weight = Math.sqrt(floor(sensitivityOf(sensitivity, part)) / scale)
      return { ...this.#fitPart(part, gram, weight, smallestStep / 8), part }
    })
    const bases = parts.map(({ basis }) => readBasis(basis))
    const steps = [...targets].sort((a, b) => a - b).map((target) => stepFor(bases, target / scale))
    const content = { model, modelName, tokens: this.#tokens, parts, steps, costs: [] }
    const calibration = readCalibration(writeCalibration(content), model)
    const toolsOf = (part: KvPart): KvTools => calibratedTools(calibration, this.rotary, part)
    const costs = Array.from({ length: FIRST_STEP_LEVEL + steps.length }, (_, level) =>
      this.#costs(level, steps, sensitivity, toolsOf),
    )
    return writeCalibration({ ...content, costs })
  }

  #fitPart(part: KvPart, gram: GramAccumulator, weight: number, smallestDeviation: number) {
    const { mean, covariance } = gram.moments()
    const rotary = part.part === 'k' ? this.rotary(part.layer) : null
    const channelModel = fitChannelModel(
      mean,
      covariance,
      spanOf(part.channels),
      channelOrder(part.channels, rotary),
    )
    const rows = this.#kept.map((context) =>
      plainKeys(context, part, this.rotary).subarray(SINK_TOKENS * part.channels),
    )
    const { bytes } = fitBasis({
      parts: [{ ...part, weight }],
      gram,
      referenceChannels: 0,
      sample: { rows: joined(rows), reference: null },
      smallestDeviation,
      version: 1,
    })
    return { channelModel, basis: bytes }
  }

  #costs(
    level: number,
    steps: readonly number[],
    sensitivity: ReadonlyMap<string, number>,
    toolsOf: (part: KvPart) => KvTools,
  ): LevelCost {
    const layers: { bytesPerToken: number; harm: number }[] = []
    for (const { part } of this.#parts) {
      const cost = partCost(this.#kept, part, level, steps, toolsOf(part))
      const before = layers[part.layer] ?? { bytesPerToken: 0, harm: 0 }
      layers[part.layer] = {
        bytesPerToken: before.bytesPerToken + cost.bytesPerToken,
        harm: before.harm + sensitivityOf(sensitivity, part) * cost.harm,
      }
    }
    return { level, layers: Array.from(layers, (layer) => layer ?? { bytesPerToken: 0, harm: 0 }) }
  }
}

/** Bytes, and the mean squared error as the harm. */
function partCost(
  contexts: readonly CalibrationContext[],
  part: KvPart,
  number: number,
  steps: readonly number[],
  tools: KvTools,
): LayerCost {
  let [sizeBytes, tokens, squares] = [0, 0, 0]
  for (const context of contexts) {
    const all = context.values(part)
    for (let first = 0; first < context.tokens; first += BLOCK_TOKENS) {
      const place = { firstPosition: first, tokens: Math.min(BLOCK_TOKENS, context.tokens - first) }
      const level = levelOf(number, steps, place)
      if (level === null) throw new CodecInputError(`There is no level ${number}.`)
      const values = all.subarray(first * part.channels, (first + place.tokens) * part.channels)
      const bytes = encodeKvBlock({ ...place, parts: [{ ...part, values }] }, level, tools)
      const [back] = decodeKvBlock(bytes, { ...place, parts: [part] }, tools)
      sizeBytes += bytes.length
      tokens += place.tokens
      for (const [at, half] of values.entries()) squares += (halfValues[half]! - halfValues[back![at]!]!) ** 2
    }
  }
  return { bytesPerToken: sizeBytes / tokens, harm: squares / (tokens * part.channels) }
}

/** Keys as they were before their positions, or values. */
function plainKeys({ tokens, values }: CalibrationContext, part: KvPart, rotaryOf: RotaryOf): Float32Array {
  const halves = values(part)
  if (tokens <= SINK_TOKENS || halves.length !== tokens * part.channels)
    throw new CodecInputError(
      `${halves.length} values of ${partName(part)} are not ${tokens} tokens of ${part.channels} channels.`,
    )
  const plain = widenHalves(halves)
  const rotary = part.part === 'k' ? rotaryOf(part.layer) : null
  if (rotary === null) return plain
  rotateKeys(
    plain,
    Float64Array.from({ length: tokens }, (_, position) => position),
    rotary,
    'unrotate',
  )
  return plain
}

/** The step at which components of all bases together are expected to lose so much, in weighted squares per channel. */
function stepFor(bases: readonly Basis[], loss: number): number {
  const lost = (step: number): number =>
    bases.reduce(
      (sum, { deviations, channels }) =>
        sum +
        deviations.reduce((own, deviation) => own + Math.min(deviation ** 2, step ** 2 / 12), 0) / channels,
      0,
    )
  let [low, high] = [1e-9, 1e9]
  for (let round = 0; round < 80; round += 1) {
    const middle = Math.sqrt(low * high)
    if (lost(middle) < loss) low = middle
    else high = middle
  }
  return Math.fround(low)
}

function sensitivityOf(sensitivity: ReadonlyMap<string, number>, part: KvPart): number {
  const value = sensitivity.get(partName(part))
  if (value === undefined || !(value >= 0 && value < Number.POSITIVE_INFINITY))
    throw new CodecInputError(`${partName(part)} has no sensitivity.`)
  return value
}

const floor = (value: number): number => Math.max(value, 1e-12)

const geometricMean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(floor(value)), 0) / Math.max(1, values.length))

/** The largest divisor of the channels up to {@link MAX_SPAN}. */
function spanOf(channels: number): number {
  let span = Math.min(channels, MAX_SPAN)
  while (channels % span !== 0) span -= 1
  return span
}

function joined(arrays: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0))
  let offset = 0
  for (const array of arrays) {
    all.set(array, offset)
    offset += array.length
  }
  return all
}
