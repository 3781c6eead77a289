import type {
  EngineKv,
  EngineSession,
  EngineStep,
  EngineStepResult,
  RingCapacity,
  SessionNeeds,
} from '@deos/protocol'
import type { MaskedEngine } from '../constrained-engine.ts'
import type { StepMasks } from '../engine-client.ts'
import type { SharedRequest } from './rank-frames.ts'

/** The engines of all ranks of a stage as one: what rank 0 is asked for, the others are asked for too. */
export class RankedEngine implements MaskedEngine {
  constructor(
    private readonly first: MaskedEngine,
    readonly capacity: RingCapacity,
    /** Asks the others. */
    private readonly ask: (request: SharedRequest, payload: Uint8Array) => void,
  ) {}

  get kv(): EngineKv {
    return this.first.kv
  }

  async prepare(needs: SessionNeeds, maxTokens: number): Promise<void> {
    if (needs.adapter !== null) {
      throw new Error(`This stage is divided among ranks, which the adapter ${needs.adapter} is not.`)
    }
    await this.first.prepare(needs, maxTokens)
  }

  open(session: EngineSession): void {
    const { tokens, ...rest } = session
    this.ask({ type: 'open', session: rest }, bytesOf(tokens))
    this.first.open(session)
  }

  close(key: number): void {
    this.ask({ type: 'close', key }, nothing)
    this.first.close(key)
  }

  step(step: EngineStep, masks: StepMasks | null = null): Promise<EngineStepResult> {
    const { entries, tokens, hidden, coded = false } = step
    const payload = tokens ? bytesOf(tokens) : (hidden ?? nothing)
    this.ask({ type: 'step', id: 0, entries, embeds: tokens !== null, coded, masked: [] }, payload)
    return this.first.step(step, masks)
  }

  readKv(): Promise<Uint8Array> {
    return Promise.reject(new Error('K and V of a stage that is divided among ranks stay there.'))
  }

  writeKv(): Promise<void> {
    return Promise.reject(new Error('A stage that is divided among ranks takes no K and V.'))
  }

  reset(): Promise<void> {
    this.ask({ type: 'reset', id: 0 }, nothing)
    return this.first.reset()
  }

  freePages(): Promise<number> {
    return this.first.freePages()
  }

  stop(): Promise<void> {
    return this.first.stop()
  }
}

const nothing = new Uint8Array()

const bytesOf = (values: Int32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
