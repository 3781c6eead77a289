import type { LayerRange, RingId, SessionId } from '@deos/domain'

/**
 * What moves a session's KV cache from the ring that computed its prompt to the ring that will continue it. The
 * coordinator (at the gateway) speaks to the workers of both rings; blocks go directly from worker to worker. Every
 * message names the session and the transfer's epoch, which the coordinator raises whenever the plan changes.
 */

/** Bytes of a block's content id. */
export const KV_ID_BYTES = 32
export const KV_GUEST_KEY_BYTES = 32
/** Alternatives that a row of {@link KvGuard} has at most. */
export const KV_GUARD_TOP = 64
/** Rows that a {@link KvGuard} has at most. */
export const KV_GUARD_ROWS = 4
/** Stands for "no level" where one byte says a level. 0 is exact; higher is coarser. */
export const NO_LEVEL = 255

/** How the KV of a session is cut into blocks. */
export interface KvShape {
  /** Positions `[0, length)` are transferred. */
  readonly length: number
  readonly blockTokens: number
  /** Keys and values, or 1 where values are read out of the keys. */
  readonly parts: 1 | 2
}

/** One block: `blockTokens` positions of one part of one layer; the last block may be shorter. */
export interface KvAddress {
  readonly block: number
  readonly layer: number
  readonly part: number
}

/** The other end of a link, and the layers that cross it. */
export interface KvRoute {
  readonly peer: string
  readonly layers: LayerRange
}

/** Coordinator → worker: take part, as sender or receiver. Replaces plans of lower epochs. */
export interface KvPlan {
  readonly type: 'kv-plan'
  readonly epoch: number
  readonly session: SessionId
  readonly role: 'send' | 'receive'
  readonly shape: KvShape
  /** Layers of this worker that take part. */
  readonly layers: LayerRange
  /** For each of those layers the coarsest level that will do; a sender sends exactly that one first. */
  readonly levels: readonly number[]
  /**
   * Level to refine blocks to when the decode side has the session, behind every block that somebody waits for; `null`
   * leaves them as they are.
   */
  readonly enhanceTo: number | null
  /** Id of the calibration that both sides have and blocks are coded with; `null` codes them with none. */
  readonly calibration: string | null
  /** No encoded block is larger. */
  readonly maxBlockBytes: number
  /** From now until the blocks are needed; orders the blocks of different sessions on one link. */
  readonly deadlineMs: number
  readonly routes: readonly KvRoute[]
  /** {@link KV_ID_BYTES} for each block of positions: its tokens and all before them, model and adapter. */
  readonly ids: Uint8Array
}

/**
 * Coordinator → sender, before its plan: a receiver of another ring, and what to prove there as a guest. The key opens
 * that door to this sender alone.
 */
export interface KvIntroduce {
  readonly type: 'kv-introduce'
  readonly epoch: number
  readonly session: SessionId
  readonly peer: string
  readonly ring: RingId
  readonly address: string
  /** {@link KV_GUEST_KEY_BYTES} bytes. */
  readonly key: Uint8Array
}

/** Sender → receiver, when the link is there: what do you have? */
export interface KvOffer {
  readonly type: 'kv-offer'
  readonly epoch: number
  readonly session: SessionId
  /** Counts the sender's offers; an answer to an earlier one is void. One that is only repeated keeps its number. */
  readonly offer: number
  readonly layers: LayerRange
}

/** Receiver → sender: these need not travel. */
export interface KvHave {
  readonly type: 'kv-have'
  readonly epoch: number
  readonly session: SessionId
  readonly offer: number
  /** Bytes that may be under way on this link, all sessions together. */
  readonly windowBytes: number
  /**
   * Bits in the order of blocks: position first, then layer, then part. Where blocks are refined, as many bits again say
   * which are as fine as they shall be.
   */
  readonly count: number
  readonly bits: Uint8Array
}

/** Sender → receiver. */
export interface KvBlock extends KvAddress {
  readonly type: 'kv-block'
  readonly epoch: number
  readonly session: SessionId
  readonly level: number
  /** Version of the basis it is coded in; 0 for levels without one. */
  readonly basis: number
  /** CRC-32 of `bytes`. */
  readonly checksum: number
  readonly bytes: Uint8Array
}

export interface KvVerdict extends KvAddress {
  readonly level: number
  /** Whether it is stored; if not it was damaged or cannot be read, and has to come again. */
  readonly stored: boolean
}

/** Receiver → sender: these are off the receiver's hands, and their bytes may be followed by others. */
export interface KvAck {
  readonly type: 'kv-ack'
  readonly epoch: number
  readonly session: SessionId
  readonly verdicts: readonly KvVerdict[]
}

/** Coordinator → receiver: promise to keep what you hold, and say how far it reaches. */
export interface KvCommit {
  readonly type: 'kv-commit'
  readonly epoch: number
  readonly session: SessionId
  /** Answer when everything is there; or at once, since no more will come. */
  readonly partial: boolean
  /** For each layer the coarsest level that counts. */
  readonly levels: readonly number[]
}

/**
 * Receiver → coordinator: all of its layers are stored for positions `[0, position)`; while it refines, now and then,
 * what came so far. Coordinator → sender: the decode side has the session, let go of it as soon as everything wanted is
 * refined; the sender returns the message as its answer.
 */
export interface KvCommitted {
  readonly type: 'kv-committed'
  readonly epoch: number
  readonly session: SessionId
  readonly position: number
  /** Of the question that it answers; what came so far is partial. From the coordinator: nothing is to be refined. */
  readonly partial: boolean
  /** Level of the coarsest block below that position; 0 from the coordinator. */
  readonly coarsest: number
  /** Of all blocks that were received and stored for the session, as they travelled; 0 from the coordinator. */
  readonly bytes: number
}

/** `keep`: the prefill side goes on by itself; `drop`: nobody needs it any more. */
export type KvAbortOutcome = 'keep' | 'drop'

/** Coordinator → worker: the transfer is off. Worker → coordinator: I cannot go on, or have heard that it is off. */
export interface KvAbort {
  readonly type: 'kv-abort'
  readonly epoch: number
  readonly session: SessionId
  readonly outcome: KvAbortOutcome
  readonly reason: string
  /** Of all blocks that a receiver stored for the session, as they travelled; 0 from everybody else. */
  readonly bytes: number
}

export interface KvGuardRow {
  readonly position: number
  /** Log of the sum of the exponentials of all logits. */
  readonly logSumExp: number
  /** The highest exact logits, falling. */
  readonly top: readonly { readonly token: number; readonly logit: number }[]
}

/** Last sender → coordinator: what the exact cache makes of the last prompt tokens, to check the received one by. */
export interface KvGuard {
  readonly type: 'kv-guard'
  readonly epoch: number
  readonly session: SessionId
  readonly rows: readonly KvGuardRow[]
}

const kvTypes: Readonly<Record<KvMessage['type'], true>> = {
  'kv-introduce': true,
  'kv-plan': true,
  'kv-offer': true,
  'kv-have': true,
  'kv-block': true,
  'kv-ack': true,
  'kv-commit': true,
  'kv-committed': true,
  'kv-abort': true,
  'kv-guard': true,
}

export const isKvMessage = (message: { readonly type: string }): message is KvMessage =>
  Object.hasOwn(kvTypes, message.type)

export type KvMessage =
  | KvIntroduce
  | KvPlan
  | KvOffer
  | KvHave
  | KvBlock
  | KvAck
  | KvCommit
  | KvCommitted
  | KvAbort
  | KvGuard
