import type { RingSnapshot } from '@deos/protocol'
import type { Link } from '@deos/transport'
import type { EngineClient } from './engine-client.ts'
import type { StageLoad } from './worker-event.ts'

type MeasuredEngine = Pick<EngineClient, 'computeUs' | 'capacity'>

/** Tells from one look to the next what a stage has been doing. */
export class StageLoadMeter {
  #atMs: number
  #engine: MeasuredEngine | null = null
  #computeUs = 0

  constructor(nowMs: number) {
    this.#atMs = nowMs
  }

  /** @param engine - null while there is none, as is the link to the next stage */
  read(
    snapshot: RingSnapshot,
    engine: MeasuredEngine | null,
    nowMs: number,
    nextLink: Pick<Link, 'estimates' | 'path'> | null,
  ): StageLoad {
    const elapsedUs = (nowMs - this.#atMs) * 1000
    const before = engine === this.#engine ? this.#computeUs : 0
    const computedUs = (engine?.computeUs ?? 0) - before
    this.#atMs = nowMs
    this.#engine = engine
    this.#computeUs = engine?.computeUs ?? 0
    return {
      activeSessions: snapshot.leader?.active ?? snapshot.sessions,
      kvUsedTokens: snapshot.pagesHeld * (engine?.capacity.pageTokens ?? 0),
      // A step that began before the last look counts here as a whole.
      busyFraction: elapsedUs > 0 ? Math.min(1, computedUs / elapsedUs) : 0,
      generatedTokens: snapshot.leader?.generatedTokens ?? 0,
      nextRoundTripMs: nextLink?.estimates.roundTripMs ?? null,
      nextPath: nextLink?.path ?? null,
    }
  }
}
