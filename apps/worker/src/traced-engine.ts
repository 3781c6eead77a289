import type { KvSlice, KvSliceWrite, LayerRange } from '@deos/domain'
import type {
  EngineKv,
  EngineSession,
  EngineStep,
  EngineStepResult,
  RingCapacity,
  SessionKey,
  SessionNeeds,
  StageEngine,
} from '@deos/protocol'
import type { Tracing } from '@deos/service'

/** Where an engine stands. */
export interface TracedPlace {
  readonly ring: string
  readonly stage: number
  readonly layers: LayerRange
  readonly model: string
}

/** Steps of one kind: from when the first was asked for until the last was through. */
interface Phase {
  startMs: number
  endMs: number
  steps: number
  tokens: number
  computeUs: number
}

interface TracedSession {
  readonly trace: string
  readonly promptTokens: number
  readonly openedMs: number
  prefill: Phase | null
  decode: Phase | null
}

/** Reports what each session that is traced took at this stage: one span, with its prefill and its decode below. */
export class TracedEngine implements StageEngine {
  readonly #engine: StageEngine
  readonly #place: TracedPlace
  readonly #tracing: Pick<Tracing, 'record'>
  readonly #wallMs: () => number
  readonly #sessions = new Map<SessionKey, TracedSession>()

  /** @param wallMs - milliseconds since 1970 */
  constructor(
    engine: StageEngine,
    place: TracedPlace,
    tracing: Pick<Tracing, 'record'>,
    wallMs: () => number,
  ) {
    this.#engine = engine
    this.#place = place
    this.#tracing = tracing
    this.#wallMs = wallMs
  }

  get capacity(): RingCapacity {
    return this.#engine.capacity
  }

  get kv(): EngineKv {
    return this.#engine.kv
  }

  prepare(needs: SessionNeeds, maxTokens: number): Promise<void> {
    return this.#engine.prepare(needs, maxTokens)
  }

  open(session: EngineSession): void {
    const { key, trace, tokens } = session
    this.#engine.open(session)
    if (trace === null) return
    const openedMs = this.#wallMs()
    this.#sessions.set(key, { trace, promptTokens: tokens.length, openedMs, prefill: null, decode: null })
  }

  close(key: SessionKey): void {
    this.#engine.close(key)
    this.#report(key, null)
  }

  async step(step: EngineStep): Promise<EngineStepResult> {
    const traced = step.entries.flatMap(({ key, position, count }) => {
      const session = this.#sessions.get(key)
      return session === undefined ? [] : [{ session, position, count }]
    })
    if (traced.length === 0) return this.#engine.step(step)
    const startMs = this.#wallMs()
    const result = await this.#engine.step(step)
    const endMs = this.#wallMs()
    for (const { session, position, count } of traced) {
      const kind = position < session.promptTokens ? 'prefill' : 'decode'
      session[kind] ??= { startMs, endMs, steps: 0, tokens: 0, computeUs: 0 }
      const phase = session[kind]
      phase.endMs = endMs
      phase.steps += 1
      phase.tokens += count
      phase.computeUs += result.computeUs
    }
    return result
  }

  readKv(slice: KvSlice): Promise<Uint8Array> {
    return this.#engine.readKv(slice)
  }

  writeKv(slice: KvSliceWrite, isWanted?: () => boolean): Promise<void> {
    return this.#engine.writeKv(slice, isWanted)
  }

  reset(): Promise<void> {
    this.forget('the ring started over')
    return this.#engine.reset()
  }

  freePages(): Promise<number> {
    return this.#engine.freePages()
  }

  stop(): Promise<void> {
    return this.#engine.stop()
  }

  /** Its sessions are lost: what is known of them is reported. */
  forget(reason: string): void {
    for (const key of [...this.#sessions.keys()]) this.#report(key, reason)
  }

  #report(key: SessionKey, error: string | null): void {
    const session = this.#sessions.get(key)
    if (session === undefined) return
    this.#sessions.delete(key)
    const { trace, openedMs, prefill, decode } = session
    const { ring, stage, layers, model } = this.#place
    this.#tracing.record(
      {
        name: `stage ${stage}`,
        kind: 'internal',
        startMs: openedMs,
        endMs: this.#wallMs(),
        error,
        attributes: {
          'gen_ai.request.model': model,
          'deos.ring': ring,
          'deos.stage': stage,
          'deos.layers.first': layers.first,
          'deos.layers.end': layers.end,
        },
        children: [...phaseSpan('prefill', prefill), ...phaseSpan('decode', decode)],
      },
      trace,
    )
  }
}

const phaseSpan = (name: string, phase: Phase | null) =>
  phase === null
    ? []
    : [
        {
          name,
          startMs: phase.startMs,
          endMs: phase.endMs,
          attributes: {
            'deos.steps': phase.steps,
            'deos.tokens': phase.tokens,
            'deos.engine_ms': phase.computeUs / 1000,
          },
        },
      ]
