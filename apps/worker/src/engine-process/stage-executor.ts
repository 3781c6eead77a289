import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SampledToken } from '@deos/domain'
import type { StageOutput } from '@deos/engine'
import { Sampler } from '@deos/engine/sampling'
import type { EngineSession, EngineStep, EngineStepResult, RingCapacity, StageEngine } from '@deos/protocol'
import type { LoadedStage } from './engine-load.ts'

interface Session {
  /** Null on stages without the head: they do not sample. */
  readonly sampler: Sampler | null
}

/** Runs one real stage as the worker's executor: calls take effect in the order they are made. */
export class StageExecutor implements StageEngine {
  readonly capacity: RingCapacity
  private readonly sessions = new Map<number, Session>()
  private tail: Promise<unknown> = Promise.resolve()
  private broken: string | null = null

  /** @param speed - share of the machine's speed to use */
  constructor(
    private readonly loaded: LoadedStage,
    private readonly speed: number,
  ) {
    this.capacity = loaded.capacity
  }

  open(session: EngineSession): void {
    void this.enqueue(() => {
      this.loaded.stage.kv.pages.allocate(session.key)
      const sampler = this.loaded.head ? new Sampler(session.sampling, session.tokens, session.resumed) : null
      this.sessions.set(session.key, { sampler })
    }).catch((error: unknown) => this.breakDown(error))
  }

  close(key: number): void {
    void this.enqueue(() => {
      if (!this.sessions.delete(key)) throw new RangeError(`There is no session ${key} to close.`)
      this.loaded.stage.kv.pages.release(key)
    }).catch((error: unknown) => this.breakDown(error))
  }

  step(step: EngineStep): Promise<EngineStepResult> {
    const done = this.enqueue(async () => {
      if (this.broken !== null) throw new Error(`The engine needs a reset: ${this.broken}`)
      return this.compute(step)
    })
    done.catch((error: unknown) => this.breakDown(error))
    return done
  }

  reset(): Promise<void> {
    return this.enqueue(() => {
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

  private async compute(step: EngineStep): Promise<EngineStepResult> {
    const started = performance.now()
    this.checkPositions(step)
    const { stage, embedding, head } = this.loaded
    const output = await stage.forward({
      entries: step.entries.map(({ key, count, sample }) => ({
        sequence: key,
        count,
        outputs: sample && head ? 'last' : 'none',
      })),
      ...(embedding ? { tokens: step.tokens ?? new Int32Array() } : { hidden: asFloats(step.hidden) }),
    })
    if (this.speed < 1) await sleep((performance.now() - started) * (1 / this.speed - 1))
    return {
      hidden: new Uint8Array(output.hidden.slice().buffer),
      sampled: head ? this.sample(step, output) : [],
      computeUs: Math.round((performance.now() - started) * 1000),
    }
  }

  private checkPositions({ entries }: EngineStep): void {
    const { contextLength } = this.capacity
    for (const { key, position, count } of entries) {
      if (!this.sessions.has(key)) throw new RangeError(`There is no session ${key}.`)
      const length = this.loaded.stage.kv.pages.length(key)
      if (length !== position) {
        throw new RangeError(`Session ${key} holds ${length} positions; a step continues at ${position}.`)
      }
      if (position + count > contextLength) {
        throw new RangeError(`Session ${key} would hold ${position + count} of ${contextLength} positions.`)
      }
    }
  }

  private sample({ entries }: EngineStep, { logits }: StageOutput): SampledToken[] {
    const { vocabSize } = this.loaded.source.config
    return entries
      .filter(({ sample }) => sample)
      .map(({ key, position, count }, row) =>
        this.sessions
          .get(key)!
          .sampler!.sample(logits.subarray(row * vocabSize, (row + 1) * vocabSize), position + count),
      )
  }
}

/** Views the bytes of a frame as floats; copies only if they are not aligned. */
function asFloats(data: Uint8Array | null): Float32Array {
  if (!data) return new Float32Array()
  if (data.byteOffset % 4 === 0) {
    return new Float32Array(data.buffer, data.byteOffset, Math.floor(data.byteLength / 4))
  }
  return new Float32Array(data.slice().buffer)
}
