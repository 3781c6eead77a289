import { DomainError, type LayerRange, type SampledToken } from '@deos/domain'
import type { RingCapacity, SessionKey, StepEntry } from '../messages.ts'
import type { EngineSession, EngineStep, EngineStepResult, StageEngine } from '../stage-engine.ts'
import { attend, cacheValue, embed, type FakeModel, sample } from './fake-model.ts'

export class FakeEngineError extends DomainError {
  readonly code = 'FAKE_ENGINE'
  readonly retriable = false

  constructor(problem: string) {
    super(`The fake engine refuses: ${problem}.`, 'Reset the engine.')
  }
}

export interface FakeStageEngineOptions {
  readonly model: FakeModel
  readonly layers: LayerRange
  readonly capacity: RingCapacity
  /** Waited for inside each step, so that a simulation decides how long computing takes. */
  readonly compute?: (step: EngineStep) => Promise<void>
}

/** Values of `pageTokens` positions for each layer of the stage. */
type Page = number[][]

interface FakeSession {
  readonly session: EngineSession
  readonly generated: number[]
  readonly pages: Page[]
  length: number
}

const POISON = 0xdead

/** Exact and deterministic executor of one stage of a {@link FakeModel}, with pages from a fixed pool. */
export class FakeStageEngine implements StageEngine {
  readonly capacity: RingCapacity
  readonly #free: Page[]
  readonly #sessions = new Map<SessionKey, FakeSession>()
  #queue: Promise<void> = Promise.resolve()
  #broken: string | null = null
  #stopped = false

  constructor(private readonly options: FakeStageEngineOptions) {
    this.capacity = options.capacity
    const { kvPages, pageTokens } = options.capacity
    const layers = options.layers.end - options.layers.first
    this.#free = Array.from({ length: kvPages }, () =>
      Array.from({ length: layers }, () => new Array<number>(pageTokens).fill(POISON)),
    )
  }

  open(session: EngineSession): void {
    this.#enqueue(() => {
      if (this.#sessions.has(session.key)) this.#break(`session ${session.key} is already open`)
      const generated = [...session.tokens.slice(session.tokens.length - session.resumed)]
      this.#sessions.set(session.key, { session, generated, pages: [], length: 0 })
    })
  }

  close(key: SessionKey): void {
    this.#enqueue(() => {
      const held = this.#sessions.get(key)
      if (held === undefined) {
        this.#break(`session ${key} is not open`)
        return
      }
      this.#release(held)
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

  reset(): Promise<void> {
    return this.#enqueue(() => {
      if (this.#stopped) this.#assertUsable()
      for (const held of this.#sessions.values()) this.#release(held)
      this.#sessions.clear()
      this.#broken = null
    })
  }

  freePages(): Promise<number> {
    return this.#enqueue(() => {
      const used = [...this.#sessions.values()].reduce((sum, held) => sum + held.pages.length, 0)
      if (used + this.#free.length !== this.capacity.kvPages) {
        throw new Error(`${used} used and ${this.#free.length} free pages are not ${this.capacity.kvPages}`)
      }
      return this.#free.length
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
      tokens === null ? viewRows(hidden, total, model.hiddenSize) : embedRows(tokens, total, model)
    const output = new Float32Array(total * model.hiddenSize)
    const sampled: SampledToken[] = []
    let at = 0
    for (const entry of entries) {
      const held = this.#extend(entry)
      for (let offset = 0; offset < entry.count; offset++, at++) {
        const row = input.slice(at * model.hiddenSize, (at + 1) * model.hiddenSize)
        output.set(this.#forward(held, row, entry.position + offset), at * model.hiddenSize)
      }
      if (entry.sample && layers.end === model.layers) {
        sampled.push(this.#sample(held, output.slice((at - 1) * model.hiddenSize, at * model.hiddenSize)))
      }
    }
    const head = layers.end === model.layers
    return { hidden: head ? new Uint8Array(0) : new Uint8Array(output.buffer), sampled, computeUs: total }
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
    while (held.pages.length * pageTokens < held.length) {
      const page = this.#free.pop()
      if (page === undefined) throw new FakeEngineError('no page is free')
      held.pages.push(page)
    }
    return held
  }

  #forward(held: FakeSession, input: Float32Array, position: number): Float32Array {
    const { first, end } = this.options.layers
    let row = input
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
    return held.pages[Math.floor(position / this.capacity.pageTokens)]!
  }

  #sample(held: FakeSession, row: Float32Array): SampledToken {
    const { sampling } = held.session
    const token = sample(row, held.length - 1, held.generated, sampling, this.options.model.vocabSize)
    held.generated.push(token.token)
    return token
  }

  /** Freed pages are poisoned, so that whoever reads one later is found out. */
  #release(held: FakeSession): void {
    for (const page of held.pages) for (const values of page) values.fill(POISON)
    this.#free.push(...held.pages.splice(0))
  }
}

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
