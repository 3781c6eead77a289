import type { ModelId, RingId, SampledToken, SamplingParams, SessionId, WorkerId } from '@deos/domain'
import type { KvMessage } from './kv/transfer/transfer-messages.ts'

/**
 * What travels between the gateway and the stages of a ring. Every message knows its ring epoch where order
 * matters: the leader (stage 0) raises the epoch after a fault, and a stage drops whatever is older.
 */

/** Bumped whenever a message changes its meaning; peers with another version are refused by name. */
export const PROTOCOL_VERSION = 5

/** Short name of a session inside one epoch of one ring, given out by the leader. */
export type SessionKey = number

/** Why a generation ended well. */
export type FinishReason = 'stop' | 'length'

/** How the hidden states of a text become one vector: their mean, or the last one. */
export type Pooling = 'mean' | 'last'

/** What a session needs of the stages besides their weights. */
export interface SessionNeeds {
  /** Name of the LoRA adapter to run with; `null` is the model as it is. */
  readonly adapter: string | null
  /** What the output must look like, as the JSON text of the engine's grammar specification; `null` is anything. */
  readonly grammar: string | null
}

export const plainNeeds: SessionNeeds = { adapter: null, grammar: null }

/**
 * A `guest` is a worker of another ring, which hands sessions over to this one and has no other business here; a `rank`
 * is a worker that computes a stage together with the one it dials.
 */
export type PeerRole = 'gateway' | 'worker' | 'guest' | 'rank'

/** First message in both directions of every link. */
export interface Hello {
  readonly type: 'hello'
  readonly version: number
  readonly role: PeerRole
  /** Worker id, or the gateway's id, under which tokens are addressed to it. */
  readonly peer: string
  readonly ring: RingId
}

/** Sent over a link that would be silent otherwise, and never seen above it: whoever hears nothing is alone. */
export interface Heartbeat {
  readonly type: 'heartbeat'
}

/** A request as the gateway hands it to the leader. */
export interface OpenRequest {
  readonly type: 'open-request'
  readonly session: SessionId
  /** Prompt, plus the already delivered tokens when a session resumes. At least one. */
  readonly tokens: Int32Array
  /** How many of `tokens` were generated before a resume; they count for penalties and limits. */
  readonly resumed: number
  /** 0 computes the prompt, samples nothing, and keeps its KV in the ring until the request is cancelled. */
  readonly maxTokens: number
  /** Tokens that end the generation. */
  readonly stopTokens: readonly number[]
  readonly sampling: SamplingParams
  /** Budget from now until the last token; 0 is unlimited. */
  readonly deadlineMs: number
  /** Whose request it is: tenants get equal shares of the ring, and only requests of one tenant share cached prefixes. */
  readonly tenant: string
  /** Higher goes first, whatever its tenant used so far; 0 is usual. -100 to 100. */
  readonly priority: number
  readonly needs: SessionNeeds
  /** Asks for one vector of the prompt instead of tokens. */
  readonly pooling: Pooling | null
  /** W3C `traceparent` that stages report their part of the work under; `null` reports nothing. */
  readonly trace: string | null
}

export interface CancelRequest {
  readonly type: 'cancel-request'
  readonly session: SessionId
}

/**
 * Gateway → leader: keep pages for the KV of this prompt, which comes from another ring. Answered by `import-ready` or
 * `rejected`; given up by `cancel-request`, or `failed` when the ring fails.
 */
export interface ImportRequest {
  readonly type: 'import-request'
  readonly session: SessionId
  /** The prompt; at least two tokens, since the last one is always computed here. */
  readonly tokens: Int32Array
  /** As in the request that will follow: only of its own tenant and adapter it finds what was imported. */
  readonly tenant: string
  readonly adapter: string | null
  /** From now until pages are given up again; 0 is unlimited. */
  readonly deadlineMs: number
}

/**
 * Leader → gateway: every stage has the pages, for positions `[cachedTokens, end)`. Those before are there already; those
 * after, less than a page and the last token, are always computed here.
 */
export interface ImportReady {
  readonly type: 'import-ready'
  readonly session: SessionId
  readonly cachedTokens: number
  readonly end: number
}

/**
 * Gateway → leader: positions below `position` are stored on every stage, and begin every later session with this
 * prompt as if they had been computed here. The rest of the pages goes back.
 */
export interface ImportCommit {
  readonly type: 'import-commit'
  readonly session: SessionId
  readonly position: number
  /**
   * Better copies of what is stored follow: the pages may be written until `cancel-request`, or until somebody needs
   * one of them.
   */
  readonly keep: boolean
}

/**
 * Gateway → leader: nobody waits for this session any more, which computed a prompt. It stays until it is cancelled, or
 * `failed` since its place or its pages are wanted.
 */
export interface SpareRequest {
  readonly type: 'spare-request'
  readonly session: SessionId
}

export type RejectCode = 'queue_full' | 'not_ready' | 'prompt_too_long' | 'invalid' | 'draining'

/** Leader → gateway: the request was not taken; nothing is held for it. */
export interface Rejected {
  readonly type: 'rejected'
  readonly session: SessionId
  readonly code: RejectCode
  readonly message: string
  /** 0 when trying again does not help. */
  readonly retryAfterMs: number
}

export type FailCode = 'ring_fault' | 'deadline' | 'cancelled'

/** Leader → gateway: an accepted session ended without its last token. `ring_fault` may be resumed. */
export interface Failed {
  readonly type: 'failed'
  readonly session: SessionId
  readonly code: FailCode
  readonly message: string
}

/** What steps took at one stage, in whole microseconds. */
export interface StageTime {
  /** Behind other steps, and on the way to the engine and back. */
  readonly waitUs: number
  readonly computeUs: number
  /** On to the next stage, from the last one to the first: half of the round trip that the link showed last; 0 if unknown. */
  readonly linkUs: number
}

/** Last stage → gateway. `index` counts generated tokens from 0, resumed ones included. */
export interface TokenDelivery {
  readonly type: 'token'
  readonly session: SessionId
  readonly index: number
  readonly sampled: SampledToken
  readonly finish: FinishReason | null
  /** One for each stage, in order: what the session's steps since the token before took; the first token's are those of the prompt. */
  readonly times: readonly StageTime[]
  /** Positions of the prompt that were not computed because their KV was still there. */
  readonly cachedTokens: number
}

/** Last stage → gateway: the vector of a session with pooling, which ends it. */
export interface EmbeddingDelivery {
  readonly type: 'embedding'
  readonly session: SessionId
  /** `[hiddenSize]` little-endian float32, not normalised. */
  readonly vector: Uint8Array
}

/** Stage → next stage, in order: a session begins. */
export interface OpenSession {
  readonly type: 'open'
  readonly epoch: number
  readonly key: SessionKey
  readonly session: SessionId
  readonly gateway: string
  readonly tokens: Int32Array
  readonly resumed: number
  readonly maxTokens: number
  readonly stopTokens: readonly number[]
  readonly sampling: SamplingParams
  readonly needs: SessionNeeds
  readonly pooling: Pooling | null
  readonly trace: string | null
  /** Positions whose KV is there already, in `pages`; a multiple of the page size, and less than the prompt. */
  readonly cachedTokens: number
  /** The pages of those positions, in order; other sessions may hold them too, and nobody writes to them. */
  readonly pages: readonly number[]
}

/**
 * Stage → next … → leader, in order: positions `[first, end)` of this session will be written to `pages` from outside.
 * Ended by `close`.
 */
export interface ImportPages {
  readonly type: 'import'
  readonly epoch: number
  readonly key: SessionKey
  readonly session: SessionId
  /** Who asked for it, and coordinates what comes. */
  readonly gateway: string
  /** A multiple of the page size. */
  readonly first: number
  readonly end: number
  /** Pages of those positions, in order; held by no session. */
  readonly pages: readonly number[]
}

/**
 * Stage → next … → leader: every stage gets ready for sessions with these needs (loads the adapter, compiles the
 * grammar). Overtakes steps, and its return with `problem` null allows sessions with them to open in this epoch.
 */
export interface Prepare {
  readonly type: 'prepare'
  readonly epoch: number
  readonly request: number
  readonly needs: SessionNeeds
  /** Tokens the session may generate: a grammar must be able to come to an end within them. */
  readonly maxTokens: number
  /** Why a stage cannot; the needs are wrong, not the stage. */
  readonly problem: string | null
}

/** Stage → next stage, in order: a session's pages are freed here. */
export interface CloseSession {
  readonly type: 'close'
  readonly epoch: number
  readonly key: SessionKey
}

/** Stands for the token that the session sampled last, where whoever asks for the step does not know it yet. */
export const LAST_SAMPLED = -1

/** Tokens of one session inside a step: positions `[position, position + count)`. */
export interface StepEntry {
  readonly key: SessionKey
  readonly position: number
  readonly count: number
  /** The last stage samples (or pools) after the entry's last position. */
  readonly sample: boolean
  /** Pages that the session gets from now on, in order, after those it has; held by no other session. */
  readonly pages: readonly number[]
}

/**
 * Stage → next stage: one batch moving through the ring. Its sessions either all pool or all generate.
 * Stage 0 starts from `tokens`; every later stage receives `hidden`, `[total count, hiddenSize]` float32.
 */
export interface Step {
  readonly type: 'step'
  readonly epoch: number
  readonly step: number
  readonly entries: readonly StepEntry[]
  /** What it took at earlier stages, in order. */
  readonly times: readonly StageTime[]
  /** Raw little-endian float32, or fewer bytes if `coded`; empty inside the leader, which has `tokens` instead. */
  readonly hidden: Uint8Array
  /** `hidden` is coded; in which way stands in it. */
  readonly coded?: true
}

export interface StepResult {
  readonly key: SessionKey
  readonly token: number
  readonly finish: FinishReason | null
}

/** Last stage → leader: a step is through; one result for each sampled entry. */
export interface StepDone {
  readonly type: 'step-done'
  readonly epoch: number
  readonly step: number
  /** One for each entry that samples, in order; for a pooled one the token is -1 and the finish `stop`. */
  readonly results: readonly StepResult[]
  /** Time the engines of all stages spent on it, in microseconds. */
  readonly engineUs: number
}

export const rankMessageKinds = ['ready', 'begin', 'request', 'values', 'lost'] as const

/**
 * Between the workers whose ranks compute one stage, on the links of the others to rank 0, which passes on what they have
 * for each other.
 *
 * - `ready`: the sender's engine is loaded and waits; `data` is its capacity, in four I32 as {@link RingCapacity} has them
 * - `begin`: all are, and what follows belongs to this epoch
 * - `request`: what the engines are to do, in `data`, as the engine process of this build reads it
 * - `values`: what the engine of rank `from` hands to those of `to`
 * - `lost`: an engine is gone or failed, for this `reason`; all begin anew
 */
export interface RankMessage {
  readonly type: 'rank'
  /** Counts how often the ranks began together; 0 before. */
  readonly epoch: number
  readonly kind: (typeof rankMessageKinds)[number]
  readonly from: number
  readonly to: readonly number[]
  readonly reason: string
  /** A multiple of 4 bytes. */
  readonly data: Uint8Array
}

/** What the ring as a whole offers, gathered by a probe on its way around. */
export interface RingCapacity {
  /** Smallest KV page pool of any stage. */
  readonly kvPages: number
  readonly pageTokens: number
  readonly contextLength: number
  /** Largest batch every stage accepts, in tokens. */
  readonly maxBatchTokens: number
}

/** How a stage keeps K and V of its layers. */
export interface StageKv {
  /** What the cache stores values as. */
  readonly type: string
  /** Values of one position, keys and values of all of its layers together. */
  readonly columns: number
}

/** What a stage tells about itself while a probe passes. */
export interface StageReport {
  readonly worker: WorkerId
  readonly stage: number
  readonly layers: readonly [first: number, end: number]
  readonly model: ModelId
  readonly kvPagesFree: number
  readonly capacity: RingCapacity
  /** Id of the calibration by which it codes KV for other rings; `null` for none. */
  readonly calibration: string | null
  /** `null` if its engine does not say. */
  readonly kv: StageKv | null
}

/** Travels the whole ring; its return proves that every stage is loaded, linked and in this epoch. */
export interface Probe {
  readonly type: 'probe'
  readonly epoch: number
  readonly sequence: number
  readonly reports: readonly StageReport[]
}

/** Stage → next … → leader: this stage lost its engine or its upstream link; its sessions are gone. */
export interface Fault {
  readonly type: 'fault'
  readonly epoch: number
  readonly stage: number
  readonly reason: string
}

/** What the leader does with the KV pages of the ring; sums count since the leader started. */
export interface RingUsage {
  /** KV pages in all, those nobody holds, and those held for later prompts only. */
  readonly pages: number
  readonly pagesFree: number
  readonly pagesCached: number
  /** Prompt positions of the sessions opened, and how many of them were found computed. */
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly generatedTokens: number
  /** Cached pages given up for something else. */
  readonly evictions: number
  /** Sessions stopped to make room for others, and the positions computed once more when they went on. */
  readonly preemptions: number
  readonly recomputedTokens: number
}

/** Leader → gateway, on connection and on change: whether requests are taken. */
export interface RingStatus {
  readonly type: 'status'
  readonly ready: boolean
  readonly epoch: number
  readonly reports: readonly StageReport[]
  readonly active: number
  readonly queued: number
  readonly usage: RingUsage
}

/** Stage → next stage messages, in order on one link. */
export type RingMessage = OpenSession | ImportPages | CloseSession | Step | StepDone | Prepare | Probe | Fault
export type GatewayToLeader = OpenRequest | CancelRequest | ImportRequest | ImportCommit | SpareRequest
export type ToGateway = Rejected | Failed | TokenDelivery | EmbeddingDelivery | RingStatus | ImportReady
export type Message = Hello | Heartbeat | RingMessage | RankMessage | GatewayToLeader | ToGateway | KvMessage
