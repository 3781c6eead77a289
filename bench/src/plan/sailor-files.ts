import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type SailorPlan, type SailorTables, sailorTables } from '@deos/planner'

/** USD an hour of the artefact's `simulations/constants.py`. */
const prices = { 'A100-40': 3.673385, 'V100-16': 2.859998, 'GH-96': 11.06 }
const memoryGiB = { 'V100-16': 16, 'A100-40': 40, 'A100-80': 80, 'GH-96': 96 }

/** Columns of `measured_vs_predicted.csv`. */
export const peers = ['SAILOR', 'Piper', 'Varuna', 'Metis', 'FlashFlex', 'AMP', 'Galvatron'] as const
export type Peer = (typeof peers)[number]

export interface MeasuredPlan {
  readonly file: string
  readonly model: string
  readonly globalBatch: number
  readonly plan: SailorPlan
  readonly measuredS: number
  /** What Sailor's simulator and the cost models beside it answer; `null` where one gives none. */
  readonly predictedByS: Readonly<Record<Peer, number | null>>
}

/** The folder `sailor` of `--data`, read where needed. */
export class SailorFolder {
  readonly #profiles: unknown
  readonly #memory: unknown
  readonly #network: unknown
  readonly #transferPrices: unknown

  constructor(private readonly folder: string) {
    this.#profiles = this.#json('profiles_simulator.json')
    this.#memory = this.#json('model_memory_info.json')
    this.#network = this.#json('network/multizone_bandwidths_het.json')
    this.#transferPrices = this.#json('network/communication_cost.json')
  }

  static has(folder: string): boolean {
    return existsSync(join(folder, 'profiles_simulator.json'))
  }

  tables(model: string): SailorTables {
    return sailorTables({
      profiles: field(this.#profiles, model),
      memory: field(this.#memory, model),
      network: this.#network,
      transferPrices: this.#transferPrices,
      prices,
      memoryGiB,
    })
  }

  measuredPlans(): readonly MeasuredPlan[] {
    const lines = readFileSync(join(this.folder, 'measured_vs_predicted.csv'), 'utf8').trim().split('\n')
    const columns = lines[0]!.split(',')
    return lines.slice(1).map((line) => {
      const cells = line.split(',')
      const cell = (name: string) => cells[columns.indexOf(name)]!
      const isNeo = cell('set').includes('Neo')
      const nodes = /N(\d+)_/.exec(cell('file'))![1]!
      const path = `measured_plans/clariden/${isNeo ? 'GPT-NEO' : 'OPT-350'}/N${nodes}/${cell('file')}`
      return {
        file: cell('file'),
        model: isNeo ? 'GPT-Neo-2.7' : 'OPT-350',
        globalBatch: Number(cell('gbs')),
        plan: planOf(this.#json(path)),
        measuredS: Number(cell('real_s')),
        predictedByS: predictions(cell),
      }
    })
  }

  #json(path: string): unknown {
    return JSON.parse(readFileSync(join(this.folder, path), 'utf8'))
  }
}

function predictions(cell: (name: string) => string): MeasuredPlan['predictedByS'] {
  const of = (peer: Peer) => (cell(peer) === '' ? null : Number(cell(peer)))
  return {
    SAILOR: of('SAILOR'),
    Piper: of('Piper'),
    Varuna: of('Varuna'),
    Metis: of('Metis'),
    FlashFlex: of('FlashFlex'),
    AMP: of('AMP'),
    Galvatron: of('Galvatron'),
  }
}

function field(value: unknown, key: string | number): unknown {
  const found: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
  if (found === undefined) throw new RangeError(`The file has no "${key}".`)
  return found
}

function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw new RangeError('The file lacks a list.')
}

/** A plan as the artefact writes it: every replica as `[[[accelerator, per machine, zone]], degree]`. */
function planOf(json: unknown): SailorPlan {
  const pipeline = field(field(json, 'pipeline_list'), 0)
  const layers = list(field(pipeline, 'layers_per_stage'))
  const replicas = list(field(pipeline, 'tmp_per_stage'))
  return {
    microbatch: Number(field(json, 'mbs')),
    stages: layers.map((own, stage) => ({
      first: Number(list(own)[0]),
      end: Number(list(own).at(-1)) + 1,
      replicas: list(replicas[stage]).map((replica) => {
        const machine = field(field(replica, 0), 0)
        return {
          accelerator: String(field(machine, 0)),
          zone: String(field(machine, 2)),
          tensorParallel: Number(field(replica, 1)),
        }
      }),
    })),
  }
}
