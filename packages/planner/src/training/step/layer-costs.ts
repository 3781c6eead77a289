import { type Accelerator, layerTime } from '../../devices/index.ts'
import { operatorGraph, parameterCounts, storedElementsPerToken } from '../../models/index.ts'
import { checkWork, type TrainingFleet, type TrainingWork } from './work.ts'

const halfBytes = 2

/** What layers cost on each device; made once for a fleet and a model. */
export class LayerCosts {
  readonly parameters: Float64Array
  readonly storedBytes: Float64Array
  readonly storedBytesWhenRematerialised: Float64Array
  readonly #passesS = new Map<Accelerator, Float64Array>()

  constructor(
    readonly fleet: TrainingFleet,
    readonly work: TrainingWork,
  ) {
    checkWork(fleet, work)
    const { shape, microbatch, sequenceTokens } = work
    const counts = parameterCounts(shape)
    const own = counts.layers.map(({ all }) => all)
    own[0] = own[0]! + counts.embedding
    own[shape.layers - 1] = own[shape.layers - 1]! + counts.head
    this.parameters = sums(own)
    const bytes = microbatch * sequenceTokens * (work.activationBytes ?? halfBytes)
    const stored = (how: 'none' | 'full') =>
      sums(own.map((_, layer) => storedElementsPerToken(shape, layer, how) * bytes))
    this.storedBytes = stored('none')
    this.storedBytesWhenRematerialised = stored('full')
  }

  /** Forward and backward pass of one microbatch through the first n layers; embedding and head with the ends. */
  passesS(device: number): Float64Array {
    const { fleet, work } = this
    const accelerator = fleet.devices[device]!
    const known = this.#passesS.get(accelerator)
    if (known !== undefined) return known
    const { shape, microbatch, sequenceTokens } = work
    const graph = operatorGraph(shape, { kind: 'training', sequences: microbatch, tokens: sequenceTokens })
    const { efficiency, format } = fleet
    const times = graph.map((layer) => layerTime(layer, accelerator, { efficiency, format }).timeMs / 1e3)
    const layers = times.slice(1, -1)
    layers[0] = layers[0]! + times[0]!
    layers[shape.layers - 1] = layers[shape.layers - 1]! + times.at(-1)!
    const terms = fleet.groups?.get(accelerator)
    const result = sums(
      terms === undefined ? layers : layers.map((each, layer) => each + terms.layerS[layer]!),
    )
    this.#passesS.set(accelerator, result)
    return result
  }

  stageS(device: number, first: number, end: number): number {
    const passes = this.passesS(device)
    return passes[end]! - passes[first]!
  }

  /** Elements that one microbatch hands over between stages. */
  get handedOver(): number {
    return this.work.microbatch * this.work.sequenceTokens * this.work.shape.hiddenSize
  }
}

function sums(values: readonly number[]): Float64Array {
  const result = new Float64Array(values.length + 1)
  for (const [at, value] of values.entries()) result[at + 1] = result[at]! + value
  return result
}
