import { randomBytes } from 'node:crypto'
import type { LayerRange } from '@deos/domain'
import type { RingPlace } from '../ring/local-ring.ts'
import { LineProcess } from './line-process.ts'

export interface WorkerRingOptions {
  readonly name: string
  /** Where the stages end; the last is the number of layers. */
  readonly ends: readonly number[]
  /** Share of the machine's speed. */
  readonly speed: number
  readonly chunkTokens: number
  readonly contextLength: number
  readonly place: RingPlace
  readonly workerEntry: string
  readonly modelPath: string
  readonly cacheDir: string
}

const KV_BYTES = 16 * 1024 * 1024

/** The workers of one ring, at one site, that know nothing of other rings. */
export class WorkerRing {
  readonly secret = randomBytes(32).toString('hex')
  readonly layers: readonly LayerRange[]
  #workers: readonly LineProcess[] = []
  #stages: readonly string[] = []

  constructor(private readonly options: WorkerRingOptions) {
    this.layers = options.ends.map((end, stage) => ({ first: options.ends[stage - 1] ?? 0, end }))
  }

  get name(): string {
    return this.options.name
  }

  /** Addresses, in order. */
  get stages(): readonly string[] {
    return this.#stages
  }

  get workers(): readonly LineProcess[] {
    return this.#workers
  }

  async start(): Promise<void> {
    this.#workers = this.layers.map((layers, stage) => this.#spawn(layers, stage))
    const listening = this.#workers.map((worker) => worker.said(({ event }) => event === 'listening'))
    this.#stages = (await Promise.all(listening)).map(({ address }) => String(address))
    for (const [stage, worker] of this.#workers.entries()) {
      const next = this.#stages[(stage + 1) % this.#stages.length]!
      if (this.#stages.length > 1) worker.write({ downstream: next })
    }
    await Promise.all(this.#workers.map((worker) => worker.said(({ event }) => event === 'ready')))
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop()))
  }

  #spawn(layers: LayerRange, stage: number): LineProcess {
    const { name, ends, speed, chunkTokens, contextLength, place, modelPath, cacheDir } = this.options
    const assignment = {
      ...{ worker: `${name}-${stage}`, ring: name, stage, stages: ends.length, layers },
      ...{ listen: `${place.host}:0`, model: { id: 'deos-7m', path: modelPath }, cacheDir, speed },
      ...{ weightType: 'native', kvType: 'F16', kvBytes: KV_BYTES, contextLength },
      ...{ maxBatchTokens: 256, threads: 1, device: null, adapters: [], microbatches: ends.length },
      ...{ maxSessions: 8, maxQueued: 8, prefixCache: true, prefillChunkTokens: chunkTokens },
    }
    return new LineProcess(this.options.workerEntry, [], {
      DEOS_ASSIGNMENT: JSON.stringify(assignment),
      DEOS_RING_SECRET: this.secret,
      DEOS_PROXY: place.proxy,
    })
  }
}
