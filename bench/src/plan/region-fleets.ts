import {
  type Accelerator,
  catalogue,
  type DeviceNetwork,
  dataCentre,
  eightCities,
  findAccelerator,
  fourRegions,
  linksOfEightCities,
  linksOfFourRegions,
  regions,
  shapeFromHuggingFace,
  type TrainingFleet,
  type TrainingWork,
} from '@deos/planner'

const gpt3Xl = shapeFromHuggingFace(
  { model_type: 'gpt2', n_embd: 2048, n_layer: 24, n_head: 16, vocab_size: 50257, n_positions: 2048 },
  'GPT-3 XL',
)

/** DT-FM's: a million tokens a step, microbatches of one sequence. */
export const published: TrainingWork = {
  shape: gpt3Xl,
  globalBatch: 488,
  sequenceTokens: 2048,
  microbatch: 1,
}

const find = (name: string): Accelerator => findAccelerator(catalogue, name)
/** Of AWS p3 instances: the catalogue has the larger variant. */
const v100: Accelerator = { ...find('V100-SXM2-32GB'), name: 'V100-SXM2-16GB', memoryGiB: 16 }
const kinds = [find('A100-SXM4-40GB'), v100, find('RTX 4090'), find('H100-SXM5-80GB')]
const uniform = new Array<Accelerator>(64).fill(v100)
/** Machines of four, alike inside; the kinds in turn. */
const mixed = uniform.map((_, device) => kinds[Math.floor(device / 4) % kinds.length]!)

/** Of 64 devices in order: all V100, or four kinds in turn. */
export const kindsOf = (isMixed: boolean): readonly Accelerator[] => (isMixed ? mixed : uniform)

/** Assumed: what well-run fp16 training of a model of this size reaches on V100. */
export const efficiency = { compute: 0.4, memory: 0.8, overheadMs: 0 }
const rest = { efficiency, format: 'fp16' } as const
const four = regions(fourRegions, linksOfFourRegions)
const eight = regions(eightCities, linksOfEightCities)

export interface RegionFleet {
  readonly id: string
  readonly scattered: TrainingFleet
  /** The same devices, eight in a machine, machines 3.125 Gbit/s apart: DT-FM's data centre. */
  readonly together: TrainingFleet
}

const regionFleet = (id: string, isMixed: boolean, network: DeviceNetwork): RegionFleet => {
  const devices = kindsOf(isMixed)
  return {
    id,
    scattered: { ...rest, devices, network },
    together: { ...rest, devices, network: dataCentre() },
  }
}

export const fourRegionsFleet = regionFleet('fourRegions', false, four)
export const regionFleets: readonly RegionFleet[] = [
  fourRegionsFleet,
  regionFleet('fourRegionsMixed', true, four),
  regionFleet('eightCities', false, eight),
  regionFleet('eightCitiesMixed', true, eight),
]
