import { TrainingRequestError } from '../errors.ts'

/** Seconds of one layer: forward, backward, optimiser step. */
type LayerSeconds = readonly [number, number, number]

/** What one accelerator does with one microbatch, by tensor-parallel degree; sums over the first n layers. */
export interface StageTimes {
  readonly forwardS: Float64Array
  /** Forward and backward. */
  readonly passesS: Float64Array
  /** Of each layer by itself. */
  readonly updateS: Float64Array
}

/** Per layer, for one tensor-parallel degree; sums over the first n layers. */
export interface LayerSizes {
  readonly parameters: Float64Array
  readonly activations: Float64Array
}

/** Coefficients of bandwidth in GB/s over x = log2(message in MB): a·x² + b·x + c. */
export type BandwidthFit = readonly [number, number, number]

/** Everything Sailor's cost model looks up. */
export interface SailorTables {
  readonly layers: number
  /** By accelerator, microbatch, tensor-parallel degree. */
  readonly times: ReadonlyMap<string, ReadonlyMap<number, ReadonlyMap<number, StageTimes>>>
  /** By tensor-parallel degree. */
  readonly sizes: ReadonlyMap<number, LayerSizes>
  /** Elements that leave each layer, for one sequence. */
  readonly outputElements: Float64Array
  fit(from: Endpoint, to: Endpoint): BandwidthFit
  /** USD for each byte. */
  readonly usdPerByte: (fromZone: string, toZone: string) => number
  readonly usdPerHour: (accelerator: string) => number
  readonly memoryBytes: (accelerator: string) => number
}

export interface Endpoint {
  readonly zone: string
  readonly accelerator: string
  /** Accelerators of the machine that send or receive at once. */
  readonly count: number
}

/** Sailor's files as they are, parsed. */
export interface SailorFiles {
  /** `profiles_simulator.json` of one model. */
  readonly profiles: unknown
  /** `model_memory_info.json` of one model. */
  readonly memory: unknown
  /** `network/multizone_bandwidths_het.json`. */
  readonly network: unknown
  /** `network/communication_cost.json`: USD per GB. */
  readonly transferPrices: unknown
  /** USD an hour, by accelerator. */
  readonly prices: Readonly<Record<string, number>>
  /** By accelerator. */
  readonly memoryGiB: Readonly<Record<string, number>>
}

/** @throws TrainingRequestError naming what is missing or not a number */
export function sailorTables(files: SailorFiles): SailorTables {
  const sizeRows = entries(files.memory, 'memory')
  const layers = entries(sizeRows[0]![1], 'memory').length
  const perLayer = (tp: unknown, path: string, key: string) =>
    Float64Array.from({ length: layers }, (_, layer) => number(tp, `${path}.${layer}.${key}`, layer, key))
  const plain = get(files.memory, 'memory', '1')
  return {
    layers,
    times: timesOf(files.profiles, layers),
    sizes: new Map(
      sizeRows.map(([tp, rows]) => [
        Number(tp),
        {
          parameters: sums(perLayer(rows, `memory.${tp}`, 'params_floats')),
          activations: sums(perLayer(rows, `memory.${tp}`, 'act_mem_floats')),
        },
      ]),
    ),
    outputElements: perLayer(plain, 'memory.1', 'act_output_floats'),
    fit: (from, to) => fitOf(files.network, from, to),
    usdPerByte: (from, to) => number(files.transferPrices, `transferPrices.${from}.${to}`, from, to) / 1e9,
    usdPerHour: (accelerator) => number(files.prices, `prices.${accelerator}`, accelerator),
    memoryBytes: (accelerator) => number(files.memoryGiB, `memoryGiB.${accelerator}`, accelerator) * 2 ** 30,
  }
}

function timesOf(profiles: unknown, layers: number): SailorTables['times'] {
  const byAccelerator = new Map<string, Map<number, Map<number, StageTimes>>>()
  for (const [accelerator, byMicrobatch] of entries(profiles, 'profiles')) {
    const microbatches = new Map<number, Map<number, StageTimes>>()
    for (const [microbatch, byDegree] of entries(byMicrobatch, `profiles.${accelerator}`)) {
      const path = `profiles.${accelerator}.${microbatch}`
      const degrees = new Map<number, StageTimes>()
      for (const [tp, rows] of entries(byDegree, path)) {
        const seconds = Array.from({ length: layers }, (_, layer) =>
          layerSeconds(rows, `${path}.${tp}`, layer),
        )
        degrees.set(Number(tp), {
          forwardS: sums(Float64Array.from(seconds, ([forward]) => forward)),
          passesS: sums(Float64Array.from(seconds, ([forward, backward]) => forward + backward)),
          updateS: Float64Array.from(seconds, ([, , update]) => update),
        })
      }
      microbatches.set(Number(microbatch), degrees)
    }
    byAccelerator.set(accelerator, microbatches)
  }
  return byAccelerator
}

function layerSeconds(rows: unknown, path: string, layer: number): LayerSeconds {
  const at = (index: number) => number(rows, `${path}.${layer}[${index}]`, layer, index)
  return [at(0), at(1), at(2)]
}

function fitOf(network: unknown, from: Endpoint, to: Endpoint): BandwidthFit {
  const keys = [from.zone, from.accelerator, from.count, to.zone, to.accelerator, to.count]
  const path = `network.${keys.join('.')}`
  const at = (index: number) => number(network, `${path}[0][${index}]`, ...keys, 0, index)
  return [at(0), at(1), at(2)]
}

/** Entry n is the sum of the first n. */
function sums(values: Float64Array): Float64Array {
  const result = new Float64Array(values.length + 1)
  for (let at = 0; at < values.length; at += 1) result[at + 1] = result[at]! + values[at]!
  return result
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

function entries(value: unknown, path: string): readonly [string, unknown][] {
  if (isObject(value) && Object.keys(value).length > 0) return Object.entries(value)
  throw new TrainingRequestError(path, value, 'an object with at least one entry')
}

function get(value: unknown, path: string, ...keys: readonly (string | number)[]): unknown {
  let at = value
  for (const key of keys) {
    if (!isObject(at) || !(key in at))
      throw new TrainingRequestError(path, undefined, 'it; the file lacks it')
    at = at[key]
  }
  return at
}

function number(value: unknown, path: string, ...keys: readonly (string | number)[]): number {
  const found = get(value, path, ...keys)
  if (typeof found === 'number' && Number.isFinite(found)) return found
  throw new TrainingRequestError(path, found, 'a number')
}
