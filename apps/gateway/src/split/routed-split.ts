import type { AnsweredRequest } from '@deos/api'
import { bytes, ms, type Random, tokens } from '@deos/domain'
import type { Backend } from '../inference/backend.ts'
import { RingBackend } from '../inference/ring-backend.ts'
import type { Replica } from '../routing/replica.ts'
import { chooseReplica } from '../routing/replica-choice.ts'
import type { ReplicaPool } from '../routing/replica-pool.ts'
import type { HandoverSettings, Refinement, SplitRing } from './handover.ts'
import { ANSWER_MS, MAX_BLOCK_BYTES } from './handover-limits.ts'
import { SplitBackend } from './split-backend.ts'
import type { SplitMode } from './split-modes.ts'
import { type FleetCoding, SplitPair } from './split-pair.ts'

/** As a request's record tells it. */
export type RequestSplit = NonNullable<AnsweredRequest['split']>

export interface RoutedSplitOptions {
  readonly split: SplitMode
  readonly splitBlockTokens: number
  readonly splitDeadlineMs: number
  readonly kvExposedMs: number
  readonly kvGoodputBytes: number
  readonly kvEnhanceMs: number
}

export interface RoutedSplitParts {
  readonly pool: Pick<ReplicaPool, 'of' | 'released'>
  /** How KV of a deployment's prompts may travel. */
  readonly codingOf: (replica: Replica) => FleetCoding
  readonly random: Random
  /** Monotonic, in ms. */
  readonly now: () => number
  readonly onNote: (requestId: string, text: string) => void
}

const unused = (reason: string, prefillReplicaId: RequestSplit['prefillReplicaId'] = null): RequestSplit => ({
  ...{ used: false, reason, prefillReplicaId },
  ...{ tokens: tokens(0), bytes: bytes(0), levels: [], refusals: 0, enhancement: null },
})

/** Finds for each request whose replica answers another that computes its prompt, where that is wished for. */
export class RoutedSplit {
  readonly #settings: HandoverSettings
  /** By who answers, and by who computes prompts for it. */
  readonly #pairs = new WeakMap<Replica, WeakMap<Replica, SplitPair>>()
  readonly #counts = { used: 0, unused: 0, tokens: 0, bytes: 0, lossy: 0, refused: 0 }

  constructor(
    private readonly options: RoutedSplitOptions,
    private readonly parts: RoutedSplitParts,
  ) {
    this.#settings = {
      blockTokens: options.splitBlockTokens,
      maxBlockBytes: MAX_BLOCK_BYTES,
      deadlineMs: options.splitDeadlineMs,
      answerMs: ANSWER_MS,
      enhanceMs: options.kvEnhanceMs,
    }
  }

  /**
   * Requests to deployments with replicas for prompts, by whether these helped; what came from them; how often with loss,
   * and how often the guard refused that.
   */
  get counts(): Readonly<Record<'used' | 'unused' | 'tokens' | 'bytes' | 'lossy' | 'refused', number>> {
    return { ...this.#counts }
  }

  /**
   * What answers the request: the replica itself, or another one before it.
   *
   * @param backend - of the replica
   * @param key - of the prompt's beginning: the same prompts go to the same replicas
   * @param told - if replicas for prompts are wished for and a token comes; again whenever better copies came
   */
  backendOf(replica: Replica, backend: Backend, key: string, told: (split: RequestSplit) => void): Backend {
    const tell = (split: RequestSplit): void => told(this.#counted(split))
    if (replica.role === 'both') return backend
    if (replica.role === 'prefill') {
      const reason = 'No replica that answers is ready: one that computes prompts does.'
      return telling(backend, () => tell(unused(reason, replica.id)))
    }
    const decode = replica.session?.handover ?? null
    const others = this.parts.pool.of(replica.deploymentId).filter(isReadyForPrompts)
    if (decode === null || others.length === 0) {
      const reason =
        decode === null
          ? 'Not all stages can be reached from here.'
          : 'No replica that computes prompts is ready.'
      return telling(backend, () => tell(unused(reason)))
    }
    const prefill = chooseReplica(others, key, this.parts.random)
    const { advisor, quality } = this.#pairOf(replica, prefill)
    let counted: RequestSplit | null = null
    const refined = (refinement: Refinement): void => {
      if (counted === null) return
      const enhancement = enhancementOf(refinement)
      const more = refinement.bytes - (counted.enhancement?.bytes ?? 0)
      this.#counts.bytes += more
      counted = { ...counted, bytes: bytes(counted.bytes + more), enhancement }
      told(counted)
    }
    return new SplitBackend({
      // Where to go on if the ring is lost is not decided between two of them.
      prefill: { ...this.#counting(prefill, prefill.session!.handover!), backend: null },
      exact: new RingBackend(prefill.session!, {
        ...{ model: prefill.model, maxInterruptions: 0, onInterrupted: () => undefined },
      }),
      decode: { ...decode, backend },
      advisor,
      settings: this.#settings,
      quality,
      now: this.parts.now,
      onNote: this.parts.onNote,
      onOutcome: (outcome) => {
        counted = {
          used: outcome.used,
          reason: oneLine(outcome.reason),
          prefillReplicaId: prefill.id,
          tokens: tokens(outcome.tokens),
          bytes: bytes(outcome.bytes),
          levels: [...outcome.levels],
          refusals: outcome.refusals,
          enhancement: null,
        }
        tell(counted)
      },
      onRefined: refined,
    })
  }

  /** Prompts are work of the replica that computes them: it is not let go while it does. */
  #counting(replica: Replica, { ring, connection, links }: SplitRing): SplitRing {
    const { pool } = this.parts
    let open = false
    return {
      ring,
      links,
      connection: {
        get ready() {
          return replica.ready
        },
        get status() {
          return connection.status
        },
        generate: (request, handlers) => {
          replica.took()
          open = true
          connection.generate(request, handlers)
        },
        cancel: (id) => {
          connection.cancel(id)
          if (open) pool.released(replica)
          open = false
        },
        spare: (id) => connection.spare(id),
        import: (request, handlers) => connection.import(request, handlers),
        endImport: (id, position, keep) => connection.endImport(id, position, keep),
      },
    }
  }

  #pairOf(decode: Replica, prefill: Replica): SplitPair {
    const known = this.#pairs.get(decode) ?? new WeakMap<Replica, SplitPair>()
    this.#pairs.set(decode, known)
    const coding = this.parts.codingOf(decode)
    const pair = known.get(prefill)
    if (pair?.isCodedBy(coding)) return pair
    const made = new SplitPair(coding, this.options, pair ?? null)
    known.set(prefill, made)
    return made
  }

  #counted(split: RequestSplit): RequestSplit {
    this.#counts[split.used ? 'used' : 'unused'] += 1
    this.#counts.tokens += split.tokens
    this.#counts.bytes += split.bytes
    this.#counts.refused += split.refusals
    if (split.levels.some((level) => level > 0)) this.#counts.lossy += 1
    return split
  }
}

function enhancementOf({ level, bytes: count, endedMs, complete }: Refinement): RequestSplit['enhancement'] {
  return { level, bytes: bytes(count), endedMs: endedMs === null ? null : ms(endedMs), complete }
}

const isReadyForPrompts = ({ role, ready, session }: Replica): boolean =>
  role === 'prefill' && ready && session?.handover != null

/** The backend, which tells when the first token of an answer comes. */
const telling = (backend: Backend, tell: () => void): Backend => ({
  status: () => backend.status(),
  embed: (request, signal) => backend.embed(request, signal),
  async *generate(request, signal) {
    let first = true
    for await (const event of backend.generate(request, signal)) {
      if (first) tell()
      first = false
      yield event
    }
  },
})

const MOST_CHARACTERS = 480

/** Reasons come from other machines, too: what records do not take is left out. */
function oneLine(reason: string): string {
  const plain = reason.replace(/[\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, ' ')
  return Array.from(plain).slice(0, MOST_CHARACTERS).join('').trim() || 'no reason given'
}
