import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeActivations, encodeActivations } from '@deos/codec'
import type { ActivationCoding, KvSlice, KvSliceWrite, SampledToken } from '@deos/domain'
import {
  AdapterError,
  type AdapterWeights,
  type BatchEntry,
  type Outputs,
  openAdapter,
  rankCount,
  readAdapterWeights,
  type StageBatch,
  type StageOutput,
  type StageSplit,
} from '@deos/engine'
import { Sampler } from '@deos/engine/sampling'
import {
  type EngineKv,
  type EngineSession,
  type EngineStep,
  type EngineStepResult,
  LAST_SAMPLED,
  type RingCapacity,
  type SessionNeeds,
  type StageEngine,
  type StepEntry,
} from '@deos/protocol'
import type { AdapterAssignment, LoadedStage, StepPace } from './engine-load.ts'
import { PooledState } from './pooled-state.ts'

interface Session {
  /** Null on stages without the head, and for sessions that pool: they do not sample. */
  readonly sampler: Sampler | null
  /** The token it sampled last; null before there is one. */
  lastSampled: number | null
  /** Null on stages without the head, and for sessions that generate. */
  readonly pooled: PooledState | null
  readonly adapter: string | null
  /** Another ring goes on with it. */
  readonly leaves: boolean
}

export interface StageExecutorOptions {
  /** Share of the machine's speed to use. */
  readonly speed: number
  /** How long steps take at least. */
  readonly pace?: StepPace | undefined
  readonly adapters: readonly AdapterAssignment[]
  /** Ranks that share the stage. */
  readonly split: StageSplit
  /** How hidden states are written for the next stage. */
  readonly activations: ActivationCoding
}

/**
 * Waits for what the entries of a step may sample, by their index; those that are missing may sample anything. Called
 * when everything else of the step is computed.
 */
export type ReadMasks = () => ReadonlyMap<number, Uint32Array>

function leastStepMs(pace: StepPace | undefined, { entries }: EngineStep): number {
  if (pace === undefined) return 0
  return entries.reduce(
    (sum, { count }) => sum + (count === 1 ? pace.sessionMs : count * pace.promptTokenMs),
    pace.stepMs,
  )
}

const noMasks: ReadonlyMap<number, Uint32Array> = new Map()

/** Keys and values of some positions of one layer, while the rest of the step is computed. */
export interface StoredRows {
  readonly key: number
  readonly layer: number
  /** Position of the first row. */
  readonly first: number
  readonly count: number
  /** As stored; no bytes where values are read out of the keys. */
  readonly keys: Uint8Array
  readonly values: Uint8Array
}

/** Runs one real stage as the worker's executor: calls take effect in the order they are made. */
export class StageExecutor implements StageEngine {
  readonly capacity: RingCapacity
  readonly kv: EngineKv
  private readonly sessions = new Map<number, Session>()
  private tail: Promise<unknown> = Promise.resolve()
  private broken: string | null = null

  constructor(
    private readonly loaded: LoadedStage,
    private readonly options: StageExecutorOptions,
  ) {
    this.capacity = loaded.capacity
    const { layers, kv } = loaded.stage
    const layouts = Array.from({ length: layers.end - layers.first }, (_, index) =>
      loaded.stage.kvLayout(layers.first + index),
    )
    this.kv = { layers, type: kv.options.type, layouts }
  }

  async prepare({ adapter }: SessionNeeds): Promise<void> {
    if (adapter === null || this.loaded.stage.hasAdapter(adapter)) return
    const weights = await this.readAdapter(adapter)
    await this.enqueue(() => this.loaded.stage.addAdapter(adapter, weights))
  }

  open(session: EngineSession): void {
    void this.enqueue(() => this.begin(session)).catch((error: unknown) => this.breakDown(error))
  }

  close(key: number): void {
    void this.enqueue(() => {
      const session = this.sessions.get(key)
      if (!session) throw new RangeError(`There is no session ${key} to close.`)
      this.sessions.delete(key)
      this.loaded.stage.kv.pages.release(key)
      if (session.adapter !== null) this.loaded.stage.releaseAdapter(session.adapter)
    }).catch((error: unknown) => this.breakDown(error))
  }

  /** @param onStored - told of prompts that are computed for another ring, layer by layer; nobody else listens */
  step(
    step: EngineStep,
    readMasks: ReadMasks = () => noMasks,
    onStored: ((rows: StoredRows) => void) | null = null,
  ): Promise<EngineStepResult> {
    const done = this.enqueue(async () => {
      if (this.broken !== null) throw new Error(`The engine needs a reset: ${this.broken}`)
      return this.compute(step, readMasks, onStored)
    })
    done.catch((error: unknown) => this.breakDown(error))
    return done
  }

  readKv(slice: KvSlice): Promise<Uint8Array> {
    return this.enqueue(() => this.loaded.stage.readKv(slice))
  }

  writeKv(slice: KvSliceWrite, isWanted?: () => boolean): Promise<void> {
    return this.enqueue(() => {
      if (isWanted?.() === false) throw new Error('The pages are not for this slice any more.')
      this.loaded.stage.writeKv(slice)
    })
  }

  reset(): Promise<void> {
    return this.enqueue(() => {
      for (const { adapter } of this.sessions.values()) {
        if (adapter !== null) this.loaded.stage.releaseAdapter(adapter)
      }
      this.sessions.clear()
      this.loaded.stage.kv.pages.clear()
      this.loaded.stage.kv.pages.verify()
      this.broken = null
    })
  }

  freePages(): Promise<number> {
    return this.enqueue(() => {
      this.loaded.stage.kv.pages.verify()
      return this.loaded.stage.kv.pages.freePages
    })
  }

  stop(): Promise<void> {
    return this.enqueue(() => {
      this.sessions.clear()
      this.loaded.stage.close()
      this.loaded.backend.close()
    })
  }

  private enqueue<T>(work: () => T | Promise<T>): Promise<T> {
    const result = this.tail.then(work)
    this.tail = result.catch(() => undefined)
    return result
  }

  private breakDown(error: unknown): void {
    this.broken ??= error instanceof Error ? error.message : String(error)
  }

  /** @throws AdapterError if there is none of that name, or it does not fit the model */
  private async readAdapter(name: string): Promise<AdapterWeights> {
    const { adapters } = this.options
    const known = adapters.find((adapter) => adapter.name === name)
    if (!known) {
      throw new AdapterError(
        `There is no adapter ${name}.`,
        adapters.length === 0
          ? 'This ring was started without adapters.'
          : `There are ${adapters.map((adapter) => adapter.name).join(', ')}.`,
      )
    }
    const { stage, source } = this.loaded
    return readAdapterWeights(await openAdapter(known.path, source.config), stage.layers)
  }

  private async begin({ key, pages, cachedTokens, pooling, ...session }: EngineSession): Promise<void> {
    const { stage, head, source } = this.loaded
    const { adapter } = session.needs
    if (pooling === 'mean' && cachedTokens > 0) {
      throw new RangeError(
        `Session ${key} pools all its positions; ${cachedTokens} of them are not computed.`,
      )
    }
    // Prepared, but since then others may have taken its place.
    if (adapter !== null && !stage.hasAdapter(adapter)) {
      stage.addAdapter(adapter, await this.readAdapter(adapter))
    }
    stage.kv.pages.open(key, pages, cachedTokens)
    if (adapter !== null) stage.retainAdapter(adapter)
    this.sessions.set(key, {
      ...{ adapter, lastSampled: null, leaves: session.maxTokens === 0 && !pooling },
      sampler: head && !pooling ? new Sampler(session.sampling, session.tokens, session.resumed) : null,
      pooled: head && pooling ? new PooledState(pooling, source.config.hiddenSize) : null,
    })
  }

  private async compute(
    step: EngineStep,
    readMasks: ReadMasks,
    onStored: ((rows: StoredRows) => void) | null,
  ): Promise<EngineStepResult> {
    const started = performance.now()
    let restedMs = 0
    const rest = async (): Promise<void> => {
      const { speed } = this.options
      if (speed === 1) return
      const spentMs = performance.now() - started
      const restMs = (spentMs - restedMs) / speed - spentMs
      if (restMs <= 0) return
      await sleep(restMs)
      restedMs += performance.now() - started - spentMs
    }
    this.checkEntries(step)
    const { stage, embedding, head } = this.loaded
    const received = embedding ? null : this.receivedHidden(step)
    const gives = this.loaded.collective.rank === 0
    const pools = head && this.sessionOf(step.entries[0]).pooled !== null
    for (const { key, pages } of step.entries) if (pages.length > 0) stage.kv.pages.attach(key, pages)
    const entries = step.entries.map((entry) => this.batchEntry(entry))
    const output = await stage.forward({
      entries,
      ...(received === null ? { tokens: await this.knownTokens(step) } : { hidden: received }),
      ...(pools ? { normed: true } : {}),
      ...this.whileComputing(step, rest, onStored),
    })
    await rest()
    const paceMs = leastStepMs(this.options.pace, step) - (performance.now() - started)
    if (paceMs > 0) await sleep(paceMs)
    return {
      ...(head || !gives ? { hidden: new Uint8Array() } : this.hiddenToSend(step, output)),
      sampled: gives && head && !pools ? this.sample(step, output, readMasks()) : [],
      pooled: gives && pools ? this.pool(step, entries, output) : [],
      computeUs: Math.round((performance.now() - started) * 1000),
    }
  }

  /** @throws CorruptBlockError if what came coded is not so many hidden states */
  private receivedHidden({ entries, hidden, coded }: EngineStep): Float32Array {
    if (!coded || hidden === null) return asFloats(hidden)
    const shape = { tokens: tokensOf(entries), width: this.loaded.source.config.hiddenSize }
    return asFloats(decodeActivations(hidden, shape))
  }

  /** Coded here, where nothing else waits: between the process's requests there are no events. */
  private hiddenToSend(
    { entries }: EngineStep,
    { hidden }: StageOutput,
  ): Pick<EngineStepResult, 'hidden' | 'coded'> {
    const bytes = new Uint8Array(hidden.slice().buffer)
    const shape = { tokens: tokensOf(entries), width: this.loaded.source.config.hiddenSize }
    const coded = encodeActivations(bytes, shape, this.options.activations)
    return coded === null ? { hidden: bytes } : { hidden: coded, coded: true }
  }

  /** Says what is stored of each layer, where some entry's prompt is computed for others. */
  private whileComputing(
    { entries }: EngineStep,
    rest: () => Promise<void>,
    onStored: ((rows: StoredRows) => void) | null,
  ): Pick<StageBatch, 'onStored'> {
    const leaving = entries.filter((entry) => this.sessionOf(entry).leaves)
    if (onStored === null || leaving.length === 0) return {}
    return {
      onStored: async (layer) => {
        await rest()
        for (const entry of leaving) onStored(this.rowsOf(entry, layer))
      },
    }
  }

  private rowsOf({ key, position, count }: StepEntry, layer: number): StoredRows {
    const { stage, capacity } = this.loaded
    const skipped = Math.floor(position / capacity.pageTokens)
    const first = position - skipped * capacity.pageTokens
    const pages = stage.kv.pages.pages(key).slice(skipped)
    const positions = { first, end: first + count }
    const read = (part: 'key' | 'value') =>
      stage.readKv({ layer, part, pages, positions, encoding: 'stored' })
    const values = stage.kvLayout(layer).value === null ? new Uint8Array() : read('value')
    return { key, layer, first: position, count, keys: read('key'), values }
  }

  private sessionOf(entry: StepEntry | undefined): Session {
    const session = entry && this.sessions.get(entry.key)
    if (!session) throw new RangeError(entry ? `There is no session ${entry.key}.` : 'A step has no entries.')
    return session
  }

  private checkEntries({ entries }: EngineStep): void {
    const { contextLength } = this.capacity
    const pools = this.sessionOf(entries[0]).pooled !== null
    for (const entry of entries) {
      const { key, position, count } = entry
      if ((this.sessionOf(entry).pooled !== null) !== pools) {
        throw new RangeError('Sessions that pool and sessions that generate share no step.')
      }
      const length = this.loaded.stage.kv.pages.length(key)
      if (length !== position) {
        throw new RangeError(`Session ${key} holds ${length} positions; a step continues at ${position}.`)
      }
      if (position + count > contextLength) {
        throw new RangeError(`Session ${key} would hold ${position + count} of ${contextLength} positions.`)
      }
    }
  }

  private batchEntry(entry: StepEntry): BatchEntry {
    const { pooled, adapter } = this.sessionOf(entry)
    let outputs: Outputs = entry.sample && this.loaded.head ? 'last' : 'none'
    if (pooled?.pooling === 'mean') outputs = 'all'
    return { sequence: entry.key, count: entry.count, outputs, adapter }
  }

  private sample(
    { entries }: EngineStep,
    { logits }: StageOutput,
    masks: ReadonlyMap<number, Uint32Array>,
  ): SampledToken[] {
    const { vocabSize } = this.loaded.source.config
    const sampled: SampledToken[] = []
    for (const [index, entry] of entries.entries()) {
      if (!entry.sample) continue
      const row = logits.subarray(sampled.length * vocabSize, (sampled.length + 1) * vocabSize)
      const session = this.sessionOf(entry)
      const chosen = session.sampler!.sample(row, entry.position + entry.count, masks.get(index) ?? null)
      session.lastSampled = chosen.token
      sampled.push(chosen)
    }
    return sampled
  }

  /** The step's tokens, with those filled in that only this engine, or its rank 0, knows yet. */
  private async knownTokens(step: EngineStep): Promise<Int32Array> {
    const { tokens } = step
    if (tokens === null) return new Int32Array()
    const { split } = this.options
    if (!tokens.includes(LAST_SAMPLED) || rankCount(split) === 1) return this.ownTokens(step, tokens)
    const { collective } = this.loaded
    const own = collective.rank === 0 ? this.ownTokens(step, tokens) : tokens
    const all = Array.from({ length: rankCount(split) }, (_, rank) => rank)
    const [first] = await collective.exchange(asBytes(own), all)
    return new Int32Array(first!.slice().buffer)
  }

  private ownTokens({ entries }: EngineStep, tokens: Int32Array): Int32Array {
    let at = 0
    for (const entry of entries) {
      if (tokens[at] === LAST_SAMPLED) {
        const last = this.sessionOf(entry).lastSampled
        if (last === null) throw new RangeError(`Session ${entry.key} has not sampled a token to go on from.`)
        tokens[at] = last
      }
      at += entry.count
    }
    return tokens
  }

  private pool(
    step: EngineStep,
    entries: readonly BatchEntry[],
    { hidden }: StageOutput,
  ): readonly Uint8Array[] {
    const { hiddenSize } = this.loaded.source.config
    const rowsOf = { none: () => 0, last: () => 1, all: (count: number) => count }
    const vectors: Uint8Array[] = []
    let row = 0
    for (const [index, { outputs, count }] of entries.entries()) {
      const end = row + rowsOf[outputs](count)
      const { pooled } = this.sessionOf(step.entries[index])
      pooled!.add(hidden.subarray(row * hiddenSize, end * hiddenSize))
      if (step.entries[index]!.sample) vectors.push(pooled!.vector())
      row = end
    }
    return vectors
  }
}

const asBytes = (values: Int32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

/** Views the bytes of a frame as floats; copies only if they are not aligned. */
const tokensOf = (entries: readonly StepEntry[]): number => entries.reduce((sum, { count }) => sum + count, 0)

function asFloats(data: Uint8Array | null): Float32Array {
  if (!data) return new Float32Array()
  if (data.byteOffset % 4 === 0) {
    return new Float32Array(data.buffer, data.byteOffset, Math.floor(data.byteLength / 4))
  }
  return new Float32Array(data.slice().buffer)
}
