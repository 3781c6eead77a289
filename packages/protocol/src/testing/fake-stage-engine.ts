import type { KvSlice, KvSliceWrite, LayerRange, SampledToken } from '@deos/domain'
import {
  LAST_SAMPLED,
  type RingCapacity,
  type SessionKey,
  type SessionNeeds,
  type StepEntry,
} from '../messages.ts'
import type { EngineKv, EngineSession, EngineStep, EngineStepResult, StageEngine } from '../stage-engine.ts'
import { FakeEngineError } from './fake-engine-error.ts'
import { fakeLayout, type Page, readCells, writeCells } from './fake-kv.ts'
import {
  adapted,
  allowed,
  attend,
  cacheValue,
  embed,
  type FakeModel,
  fakeGrammarPattern,
  meanRow,
  poolRow,
  sample,
} from './fake-model.ts'

export interface FakeStageEngineOptions {
  readonly model: FakeModel
  readonly layers: LayerRange
  readonly capacity: RingCapacity
  /** Waited for inside each step, so that a simulation decides how long computing takes. */
  readonly compute?: (step: EngineStep) => Promise<void>
  /** Names that {@link StageEngine.prepare} accepts as adapters; each changes what is sampled. */
  readonly adapters?: readonly string[]
}

interface FakeSession {
  readonly session: EngineSession
  readonly generated: number[]
  readonly pages: number[]
  /** Sum of the hidden states so far, for pooling. */
  readonly sum: Float32Array
  length: number
}

const POISON = 0xdead

/** Exact and deterministic executor of one stage of a {@link FakeModel}, with pages from a fixed pool. */
export class FakeStageEngine implements StageEngine {
  readonly capacity: RingCapacity
  readonly kv: EngineKv
  readonly #pages: readonly Page[]
  readonly #prepared = new Set<string>()
  readonly #sessions = new Map<SessionKey, FakeSession>()
  #queue: Promise<void> = Promise.resolve()
  #broken: string | null = null
  #stopped = false

  constructor(private readonly options: FakeStageEngineOptions) {
    this.capacity = options.capacity
    const { kvPages, pageTokens } = options.capacity
    const layers = options.layers.end - options.layers.first
    this.kv = {
      layers: options.layers,
      type: 'fake',
      layouts: Array.from({ length: layers }, () => fakeLayout),
    }
    this.#pages = Array.from({ length: kvPages }, () =>
      Array.from({ length: layers }, () => new Array<number>(pageTokens).fill(POISON)),
    )
  }

  prepare(needs: SessionNeeds): Promise<void> {
    const { adapter, grammar } = needs
    if (adapter !== null && this.options.adapters?.includes(adapter) !== true) {
      return Promise.reject(new FakeEngineError(`there is no adapter ${adapter}`))
    }
    if (grammar !== null && !fakeGrammarPattern.test(grammar)) {
      return Promise.reject(new FakeEngineError(`${grammar} is no grammar`))
    }
    this.#prepared.add(nameOf(needs))
    return Promise.resolve()
  }

  open(session: EngineSession): void {
    this.#enqueue(() => {
      const { key, needs, tokens, resumed, pages, cachedTokens } = session
      if (this.#sessions.has(key)) this.#break(`session ${key} is already open`)
      const plain = needs.adapter === null && needs.grammar === null
      if (!plain && !this.#prepared.has(nameOf(needs))) this.#break(`session ${key} was not prepared`)
      const generated = [...tokens.slice(tokens.length - resumed)]
      const sum = new Float32Array(this.options.model.hiddenSize)
      this.#sessions.set(key, { session, generated, pages: [...pages], sum, length: cachedTokens })
    })
  }

  close(key: SessionKey): void {
    this.#enqueue(() => {
      const held = this.#sessions.get(key)
      if (held === undefined) {
        this.#break(`session ${key} is not open`)
        return
      }
      this.#sessions.delete(key)
    })
  }

  step(step: EngineStep): Promise<EngineStepResult> {
    return this.#enqueue(async () => {
      await this.options.compute?.(step)
      this.#assertUsable()
      try {
        return this.#compute(step)
      } catch (error) {
        this.#broken = error instanceof Error ? error.message : String(error)
        throw error
      }
    })
  }

  readKv(slice: KvSlice): Promise<Uint8Array> {
    return this.#enqueue(() => {
      if (this.#stopped) this.#assertUsable()
      return readCells(this.#pages, this.options, slice)
    })
  }

  writeKv(slice: KvSliceWrite, isWanted?: () => boolean): Promise<void> {
    return this.#enqueue(() => {
      if (this.#stopped) this.#assertUsable()
      if (isWanted?.() === false) throw new FakeEngineError('the slice is not wanted any more')
      const held = [...this.#sessions.values()].some(({ pages }) =>
        slice.pages.some((page) => pages.includes(page)),
      )
      if (held && slice.refines !== true) throw new FakeEngineError('an open session holds one of the pages')
      writeCells(this.#pages, this.options, slice)
    })
  }

  reset(): Promise<void> {
    return this.#enqueue(() => {
      if (this.#stopped) this.#assertUsable()
      this.#sessions.clear()
      this.#prepared.clear()
      for (const page of this.#pages) poison(page)
      this.#broken = null
    })
  }

  freePages(): Promise<number> {
    return this.#enqueue(() => {
      const used = new Set([...this.#sessions.values()].flatMap((held) => held.pages))
      return this.capacity.kvPages - used.size
    })
  }

  /** Everything unfinished fails, as when the engine's process dies. */
  stop(): Promise<void> {
    this.#stopped = true
    this.#broken = 'it has stopped'
    return Promise.resolve()
  }

  #enqueue<T>(action: () => T | Promise<T>): Promise<T> {
    const result = this.#queue.then(action)
    this.#queue = result.then(
      () => undefined,
      () => undefined,
    )
    return result
  }

  #break(problem: string): void {
    this.#broken ??= problem
  }

  #assertUsable(): void {
    if (this.#broken !== null) throw new FakeEngineError(this.#broken)
  }

  #compute({ entries, tokens, hidden }: EngineStep): EngineStepResult {
    const { model, layers, capacity } = this.options
    const total = entries.reduce((sum, entry) => sum + entry.count, 0)
    if (total > capacity.maxBatchTokens) throw new FakeEngineError(`${total} tokens exceed the batch limit`)
    const input =
      tokens === null
        ? viewRows(hidden, total, model.hiddenSize)
        : embedRows(this.#known(tokens, entries), total, model)
    const output = new Float32Array(total * model.hiddenSize)
    const sampled: SampledToken[] = []
    const pooled: Uint8Array[] = []
    let at = 0
    for (const entry of entries) {
      const held = this.#extend(entry)
      for (let offset = 0; offset < entry.count; offset++, at++) {
        const row = input.slice(at * model.hiddenSize, (at + 1) * model.hiddenSize)
        const result = this.#forward(held, row, entry.position + offset)
        output.set(result, at * model.hiddenSize)
        poolRow(held.sum, result)
      }
      if (!entry.sample || layers.end < model.layers) continue
      const last = output.slice((at - 1) * model.hiddenSize, at * model.hiddenSize)
      if (held.session.pooling === null) sampled.push(this.#sample(held, last))
      else
        pooled.push(
          new Uint8Array(
            held.session.pooling === 'last' ? last.buffer : meanRow(held.sum, held.length).buffer,
          ),
        )
    }
    const head = layers.end === model.layers
    const passed = head ? new Uint8Array(0) : new Uint8Array(output.buffer)
    return { hidden: passed, sampled, pooled, computeUs: total }
  }

  /** The tokens with those filled in that only this engine knows. */
  #known(tokens: Int32Array, entries: readonly StepEntry[]): Int32Array {
    if (!tokens.includes(LAST_SAMPLED)) return tokens
    const known = tokens.slice()
    let at = 0
    for (const { key, count } of entries) {
      if (known[at] === LAST_SAMPLED) {
        const last = this.#sessions.get(key)?.generated.at(-1)
        if (last === undefined) throw new FakeEngineError(`session ${key} has sampled nothing`)
        known[at] = last
      }
      at += count
    }
    return known
  }

  #extend(entry: StepEntry): FakeSession {
    const held = this.#sessions.get(entry.key)
    if (held === undefined) throw new FakeEngineError(`session ${entry.key} is not open`)
    if (entry.position !== held.length) {
      throw new FakeEngineError(`position ${entry.position} does not continue ${held.length}`)
    }
    held.length += entry.count
    const { contextLength, pageTokens } = this.capacity
    if (held.length > contextLength) throw new FakeEngineError(`${held.length} positions exceed the context`)
    for (const page of entry.pages) this.#attach(held, page)
    if (held.pages.length * pageTokens < held.length) {
      throw new FakeEngineError(`${held.length} positions do not fit ${held.pages.length} pages`)
    }
    return held
  }

  /** A page to write to is poisoned first, so that whoever else still reads it is found out. */
  #attach(held: FakeSession, page: number): void {
    const values = this.#pages[page]
    if (values === undefined) throw new FakeEngineError(`page ${page} does not exist`)
    for (const other of this.#sessions.values()) {
      if (other.pages.includes(page)) throw new FakeEngineError(`page ${page} is in use`)
    }
    poison(values)
    held.pages.push(page)
  }

  #forward(held: FakeSession, input: Float32Array, position: number): Float32Array {
    const { first, end } = this.options.layers
    let row = first === 0 ? adapted(input, held.session.needs.adapter) : input
    for (let layer = first; layer < end; layer++) {
      this.#page(held, position)[layer - first]![position % this.capacity.pageTokens] = cacheValue(row, layer)
      row = attend(row, this.#cached(held, layer - first, position), layer)
    }
    return row
  }

  *#cached(held: FakeSession, layer: number, last: number): Iterable<number> {
    for (let position = 0; position <= last; position++) {
      yield this.#page(held, position)[layer]![position % this.capacity.pageTokens]!
    }
  }

  #page(held: FakeSession, position: number): Page {
    return this.#pages[held.pages[Math.floor(position / this.capacity.pageTokens)]!]!
  }

  #sample(held: FakeSession, row: Float32Array): SampledToken {
    const { sampling } = held.session
    const token = sample(row, held.length - 1, held.generated, sampling, this.options.model.vocabSize)
    const chosen = allowed(token, held.session.needs.grammar)
    held.generated.push(chosen.token)
    return chosen
  }
}

function poison(page: Page): void {
  for (const values of page) values.fill(POISON)
}

const nameOf = ({ adapter, grammar }: SessionNeeds): string => JSON.stringify([adapter, grammar])

function embedRows(tokens: Int32Array, total: number, model: FakeModel): Float32Array {
  if (tokens.length !== total)
    throw new FakeEngineError(`${tokens.length} tokens came for ${total} positions`)
  const rows = new Float32Array(total * model.hiddenSize)
  tokens.forEach((token, index) => {
    if (token < 0 || token >= model.vocabSize) throw new FakeEngineError(`token ${token} is unknown`)
    rows.set(embed(token, model.hiddenSize), index * model.hiddenSize)
  })
  return rows
}

function viewRows(hidden: Uint8Array | null, total: number, hiddenSize: number): Float32Array {
  const expected = total * hiddenSize * 4
  if (hidden?.byteLength !== expected) {
    throw new FakeEngineError(`${hidden?.byteLength ?? 'no'} bytes of hidden states came, not ${expected}`)
  }
  return new Float32Array(hidden.buffer, hidden.byteOffset, total * hiddenSize)
}
