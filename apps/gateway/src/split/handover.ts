import { createHash } from 'node:crypto'
import { describeError, ringId, sessionId } from '@deos/domain'
import {
  type CoordinatorEffect,
  type CoordinatorEvent,
  commonLayers,
  HandoverCoordinator,
  type KvMessage,
  type KvRoute,
  kvRoot,
  kvRunIds,
  type StageReport,
} from '@deos/protocol'
import { every, type RingConnection, systemTimers } from '@deos/transport'
import type { GenerateRequest } from '../inference/backend.ts'
import { largestBlockBytes } from './handover-limits.ts'
import type { StageLinks } from './stage-links.ts'

/** One of the two rings. */
export interface SplitRing {
  readonly ring: string
  readonly connection: Pick<
    RingConnection,
    'ready' | 'status' | 'generate' | 'cancel' | 'spare' | 'import' | 'endImport'
  >
  readonly links: Pick<StageLinks, 'peers' | 'listen' | 'send' | 'door' | 'addressOf'>
}

export interface HandoverSettings {
  /** Positions of a block: a multiple of the rings' page size. */
  readonly blockTokens: number
  /** What blocks may have at most, unless those of the rings' model are larger. */
  readonly maxBlockBytes: number
  /** What has not come by then is computed by the decode ring. */
  readonly deadlineMs: number
  readonly answerMs: number
  /** How long better copies may take after the start. */
  readonly enhanceMs: number
}

/** What became of better copies so far. */
export interface Refinement {
  readonly level: number
  /** That were received for them, as they travelled. */
  readonly bytes: number
  /** From the start until nothing more came; `null` while they come. */
  readonly endedMs: number | null
  /** Everything was refined. */
  readonly complete: boolean
  /** Why it ended, for people. */
  readonly reason: string
}

/** How blocks are coded, and where the decode ring keeps them. */
export interface HandoverCoding {
  /** Of each layer. */
  readonly levels: readonly number[]
  readonly calibration: string | null
  /** Level that they are refined to after the start; `null` leaves them as they come. */
  readonly enhanceTo: number | null
  /** Who shares the prefix in the decode ring. */
  readonly scope: string
  /** The prefill ring was asked for the prompt. */
  readonly onPrefill: () => void
  /** Told while better copies come, and once when no more do. */
  readonly onRefined: (refinement: Refinement) => void
}

/** How far the decode ring's pages are filled; `reason` says why not at all. */
export interface HandoverResult {
  /** Positions that the decode ring had already, those that came included; `null` if nothing was handed over. */
  readonly position: number | null
  /** Those are all that were wanted. */
  readonly complete: boolean
  /** Positions that it had before. */
  readonly cachedTokens: number
  /** Positions that it lacked and that were asked for; 0 if nothing was begun. */
  readonly wantedTokens: number
  /** From the beginning of the prompt's computation until the decode ring could start. */
  readonly durationMs: number
  /** KV that was received for it, as it travelled. */
  readonly bytes: number
  readonly reason: string
}

const TICK_MS = 25

/**
 * One prompt computed by the prefill ring while its KV goes to the decode ring. Whatever fails, the caller opens the
 * request at the decode ring afterwards, which computes what it does not have.
 */
export class Handover {
  readonly #id: string
  readonly #result: Promise<HandoverResult>
  #resolve: (result: HandoverResult) => void = () => undefined
  #coordinator: HandoverCoordinator | null = null
  #senders: readonly KvRoute[] = []
  #receivers: readonly KvRoute[] = []
  #cachedTokens = 0
  #epoch = 0
  #beganMs = 0
  #imported = true
  /** The decode ring keeps the import's pages for better copies. */
  #kept = false
  #startedMs = 0
  /** Received before the start. */
  #baseBytes = 0
  /** Since better copies are told of. */
  #refinement: Refinement | null = null
  #end = 0
  #complete = false
  #prefilling = false
  /** Why only a part came. */
  #reason = ''
  #stopped = false
  readonly #stops: (() => void)[] = []
  /** By receiver, as it said last. */
  readonly #receivedBytes = new Map<string, number>()

  constructor(
    private readonly request: GenerateRequest,
    private readonly prefill: SplitRing,
    private readonly decode: SplitRing,
    private readonly settings: HandoverSettings,
    /** Whether so many positions are worth it. */
    private readonly worth: (missingTokens: number) => boolean,
    private readonly coding: HandoverCoding,
    /** Hand-overs of this request that were in vain. */
    round: number,
  ) {
    this.#id = round === 0 ? `${request.id}.kv` : `${request.id}.kv${round}`
    this.#result = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  /** Resolves when the decode ring may be asked, in any case. */
  run(): Promise<HandoverResult> {
    const { tokens, needs, deadlineMs } = this.request
    const { adapter } = needs
    this.decode.connection.import(
      { id: this.#id, tokens, tenant: this.coding.scope, adapter, deadlineMs },
      {
        onReady: (cachedTokens, end) => this.#ready(cachedTokens, end),
        onFailed: (message) => this.#lost(message),
      },
    )
    return this.#result
  }

  /** The decode ring has the session. */
  started(): void {
    this.#feed({ type: 'started', epoch: this.#epoch })
  }

  /** The request is over, one way or another. */
  end(): void {
    if (this.#coordinator === null) {
      this.#finish('The request ended.')
      return
    }
    // Nobody needs its pages any more, whoever is still to be told.
    this.#feed({ type: 'cancel' })
    this.#endRefining(false, 'The request ended.')
    this.#endPrefill()
  }

  #ready(cachedTokens: number, end: number): void {
    if (this.#stopped || this.#coordinator !== null) return
    this.#cachedTokens = cachedTokens
    if (!this.worth(end - cachedTokens)) {
      this.#finish(`The decode ring lacks only ${end - cachedTokens} positions.`)
      return
    }
    try {
      this.#begin(end)
    } catch (error) {
      this.#finish(describeError(error))
    }
  }

  #lost(message: string): void {
    this.#imported = false
    if (this.#coordinator === null) this.#finish(message)
    else this.#feed({ type: 'receivers-changed', receivers: null })
  }

  #begin(end: number): void {
    const { settings, request } = this
    this.#end = end
    const senders = this.prefill.connection.status?.reports ?? []
    const receivers = this.decode.connection.status?.reports ?? []
    this.#senders = routesOf(senders)
    this.#receivers = routesOf(receivers)
    this.#beganMs = systemTimers.now()
    this.#coordinator = new HandoverCoordinator({
      session: sessionId(this.#id),
      shape: { length: end, blockTokens: settings.blockTokens, parts: 2 },
      ids: this.#blockIds(end),
      maxBlockBytes: largestBlockBytes(settings.blockTokens, settings.maxBlockBytes, [
        ...senders,
        ...receivers,
      ]),
      senders: this.#senders,
      receivers: this.#receivers,
      levels: this.coding.levels,
      enhanceTo: this.coding.enhanceTo,
      enhanceMs: settings.enhanceMs,
      calibration: this.coding.calibration,
      judgedLater: true,
      deadlineMs: settings.deadlineMs,
      answerMs: settings.answerMs,
      firstEpoch: 1,
    })
    for (const side of [this.prefill, this.decode]) this.#join(side)
    this.#stops.push(every(systemTimers, TICK_MS, () => this.#feed({ type: 'tick' })))
    this.#feed({ type: 'begin' })
    this.#prefilling = true
    const { tokens, tenant, priority, needs, deadlineMs, sampling } = request
    this.prefill.connection.generate(
      {
        ...{ id: this.#id, tokens: tokens.slice(0, end), maxTokens: 0, stopTokens: [], sampling },
        ...{ tenant, priority, deadlineMs, pooling: null, needs: { ...needs, grammar: null } },
      },
      {
        onToken: () => undefined,
        onRejected: (_, message) => this.#prefillFailed(message),
        onFailed: (_, message) => this.#prefillFailed(message),
        onInterrupted: (message) => this.#prefillFailed(message),
      },
    )
    this.coding.onPrefill()
  }

  #blockIds(end: number): Uint8Array {
    const { tokens, tenant, needs } = this.request
    const { blockTokens } = this.settings
    const model = this.decode.connection.status?.reports[0]?.model ?? ''
    const numerics = this.decode.ring
    const root = kvRoot(sha256, { model, numerics, adapter: needs.adapter, scope: tenant, blockTokens })
    return Buffer.concat(kvRunIds(sha256, root, tokens.slice(0, end), blockTokens))
  }

  #join({ links }: SplitRing): void {
    for (const peer of links.peers) this.#linked(peer)
    const stop = links.listen({
      onUp: (peer) => this.#linked(peer),
      onDown: (peer) => this.#feed({ type: 'unlinked', peer }),
      onMessage: (peer, message) => {
        if (message.session !== this.#id) return
        if (message.type === 'kv-committed' || message.type === 'kv-abort') {
          this.#receivedBytes.set(peer, Math.max(message.bytes, this.#receivedBytes.get(peer) ?? 0))
        }
        this.#feed({ type: 'message', peer, message })
        this.#countRefined()
      },
    })
    this.#stops.push(stop)
  }

  #linked(peer: string): void {
    const sender = this.#senders.find((route) => route.peer === peer)
    const known = sender ?? this.#receivers.find((route) => route.peer === peer)
    if (known === undefined) return
    if (sender !== undefined) this.#introduce(sender)
    this.#feed({ type: 'linked', peer })
  }

  /** Tells a sender where the receivers of its layers are, and lets it in there. */
  #introduce({ peer, layers }: KvRoute): void {
    const from = this.prefill.links.addressOf(peer)
    if (from === null) return
    for (const receiver of this.#receivers) {
      if (commonLayers(layers, receiver.layers) === null) continue
      const door = this.decode.links.door(receiver.peer, peer, from)
      if (door === null) continue
      this.prefill.links.send(peer, {
        ...{ type: 'kv-introduce', epoch: 0, session: sessionId(this.#id) },
        ...{ peer: receiver.peer, ring: ringId(this.decode.ring), ...door },
      })
    }
  }

  #prefillFailed(message: string): void {
    if (!this.#prefilling) return
    this.#endPrefill()
    this.#reason = message
    this.#feed({ type: 'senders-changed', senders: null })
  }

  #endPrefill(): void {
    if (!this.#prefilling) return
    this.#prefilling = false
    this.prefill.connection.cancel(this.#id)
  }

  #feed(event: CoordinatorEvent): void {
    const coordinator = this.#coordinator
    if (coordinator === null || this.#stopped) return
    for (const effect of coordinator.onEvent(event, systemTimers.now())) this.#perform(effect)
  }

  #perform(effect: CoordinatorEffect): void {
    switch (effect.type) {
      case 'send':
        this.#post(effect.peer, effect.message)
        break
      case 'start':
        this.#epoch = effect.epoch
        this.#imported = false
        this.#complete = effect.position === this.#end
        this.#kept = this.#complete && this.coding.enhanceTo !== null
        this.decode.connection.endImport(this.#id, effect.position, this.#kept)
        this.#settle(effect.position, this.#reason)
        break
      case 'decided':
        if (effect.outcome !== 'decode') this.#giveUp(effect.reason)
        else if (this.#kept) this.#beginRefining()
        break
      case 'refined':
        this.#endRefining(effect.complete, effect.reason)
        break
      case 'over':
        this.#finish('Handed over.')
        break
      case 'judge':
        throw new Error('What came with loss is judged after the start.')
    }
  }

  #post(peer: string, message: KvMessage): void {
    const sends = this.#senders.some((route) => route.peer === peer)
    const { links } = sends ? this.prefill : this.decode
    links.send(peer, message)
  }

  /** From here on nobody waits for the prefill ring. */
  #beginRefining(): void {
    const { enhanceTo: level } = this.coding
    if (level === null) return
    this.#startedMs = systemTimers.now()
    this.#baseBytes = this.#received
    this.#refinement = { level, bytes: 0, endedMs: null, complete: false, reason: '' }
    this.prefill.connection.spare(this.#id)
  }

  #countRefined(): void {
    const bytes = this.#received - this.#baseBytes
    if (this.#refinement === null || bytes <= this.#refinement.bytes) return
    this.#tellRefined({ bytes })
  }

  #endRefining(complete: boolean, reason: string): void {
    this.#endKept()
    if (this.#refinement === null || this.#refinement.endedMs !== null) return
    this.#tellRefined({ complete, reason, endedMs: systemTimers.now() - this.#startedMs })
    this.#endPrefill()
  }

  #tellRefined(change: Partial<Refinement>): void {
    if (this.#refinement === null) return
    this.#refinement = { ...this.#refinement, ...change }
    this.coding.onRefined(this.#refinement)
  }

  get #received(): number {
    return this.#receivers.reduce((sum, { peer }) => sum + (this.#receivedBytes.get(peer) ?? 0), 0)
  }

  #endKept(): void {
    if (this.#kept) this.decode.connection.endImport(this.#id, null)
    this.#kept = false
  }

  #settle(position: number | null, reason: string): void {
    const durationMs = systemTimers.now() - this.#beganMs
    const bytes = this.#received
    const cachedTokens = this.#cachedTokens
    const wantedTokens = this.#coordinator === null ? 0 : this.#end - cachedTokens
    const came = { position, complete: this.#complete, cachedTokens, wantedTokens }
    this.#resolve({ ...came, durationMs, bytes, reason })
  }

  #giveUp(reason: string): void {
    if (this.#imported) this.decode.connection.endImport(this.#id, null)
    this.#imported = false
    this.#settle(null, reason)
  }

  #finish(reason: string): void {
    if (this.#stopped) return
    this.#giveUp(reason)
    this.#stopped = true
    this.#endRefining(false, reason)
    this.#endPrefill()
    for (const stop of this.#stops.splice(0)) stop()
  }
}

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest())

const routesOf = (reports: readonly StageReport[]): readonly KvRoute[] =>
  reports.map(({ worker, layers: [first, end] }) => ({ peer: worker, layers: { first, end } }))
