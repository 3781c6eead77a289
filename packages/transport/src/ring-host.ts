import { describeError as describe, kvColumns, type Random, type SessionId } from '@deos/domain'
import {
  type EngineEffect,
  type EngineSession,
  type EngineStepResult,
  type ImportEffect,
  isKvMessage,
  type KvMessage,
  type RingEffect,
  type RingEvent,
  type RingLeaderOptions,
  RingNode,
  type RingSnapshot,
  type SessionKey,
  type StageEngine,
  type StageIdentity,
  type StepEntry,
} from '@deos/protocol'
import type { Link, LinkHandlers, Transport } from './link.ts'
import { LinkError } from './link-error.ts'
import { SerialEvents } from './serial-events.ts'
import { SupervisedLink } from './supervised-link.ts'
import { every, type Timers } from './timers.ts'

export interface RingHostOptions {
  readonly identity: StageIdentity
  /** For stage 0, and only there. */
  readonly leader: RingLeaderOptions | null
  /** Where to accept the previous stage and gateways. */
  readonly listen: string
  /** Peer id of the previous stage; other workers are turned away. `null` takes any, and in a ring of one none. */
  readonly previousPeer: string | null
  readonly tickMs: number
  readonly reconnect: { readonly firstDelayMs: number; readonly maxDelayMs: number }
}

/** For whoever hands sessions over: what becomes of them here, and who speaks of it. */
export interface HandoverEdge {
  /** A session begins, with `cachedTokens` of its positions computed. */
  opened(id: SessionId, session: EngineSession): void
  /** The KV of these entries is there, behind all calls on the engine so far. */
  computed(entries: readonly StepEntry[]): void
  closed(key: SessionKey): void
  /** Of no session anything is left. */
  forgotten(): void
  /** Where KV from other rings may be written, and until when. */
  imports(effect: ImportEffect): void
  /** A gateway's link, which carries other messages too, or a guest's. */
  accept(link: Link): HandoverLink
}

export interface HandoverLink {
  message(message: KvMessage): void
  closed(reason: string): void
}

export const defaultHostTiming = { tickMs: 25, reconnect: { firstDelayMs: 50, maxDelayMs: 2_000 } } as const

export interface RingHostCollaborators {
  readonly transport: Transport
  readonly timers: Timers
  readonly random: Random
  /** What an operator should know. */
  readonly onNote: (level: 'info' | 'warn', text: string) => void
  /** Without it guests are turned away. */
  readonly handover?: HandoverEdge
  /** Takes the links of those who compute this stage with it; without it they are turned away. */
  readonly acceptRank?: (link: Link) => LinkHandlers
}

/**
 * Drives one worker's {@link RingNode}: feeds it what happens on links, engine and clock, and performs what it
 * decides. Everything the node asks for is done at once and in order; events that this causes wait their turn.
 */
export class RingHost {
  readonly #node: RingNode
  readonly #events = new SerialEvents<RingEvent>((event) => {
    for (const effect of this.#node.onEvent(event, this.edge.timers.now())) this.#perform(effect)
  })
  #engine: StageEngine | null = null
  #upstream: Link | null = null
  #downstream: SupervisedLink | null = null
  readonly #gateways = new Map<string, Link>()
  #stopTicking: () => void = () => {}
  #stopped = false
  readonly #drained: (() => void)[] = []
  #isDrained = false

  /** @throws RangeError if identity and leader options contradict each other */
  constructor(
    private readonly options: RingHostOptions,
    private readonly edge: RingHostCollaborators,
  ) {
    this.#node = new RingNode(options.identity, options.leader)
  }

  /** Accepts links and lets time pass; returns the address under which peers reach this worker. */
  async start(): Promise<string> {
    const address = await this.edge.transport.listen(this.options.listen, (link) => this.#accept(link))
    this.#stopTicking = every(this.edge.timers, this.options.tickMs, () => this.#feed({ type: 'tick' }))
    return address
  }

  /** Dials the next stage and keeps that link alive; again with another address when the ring changes. */
  connectNext(address: string): void {
    this.#downstream?.stop()
    if (this.#downstream?.link) this.#feed({ type: 'downstream-lost', reason: 'the next stage has moved' })
    const { transport, timers, random, onNote } = this.edge
    this.#downstream = new SupervisedLink({ address, ...this.options.reconnect }, transport, timers, random, {
      onUp: () => this.#feed({ type: 'downstream-connected' }),
      // The next stage has nothing to say upstream.
      onMessage: (_, link) => link.close('messages only flow downstream'),
      onDown: (reason) => this.#feed({ type: 'downstream-lost', reason }),
      onRetry: (error, delayMs) =>
        onNote('warn', `Next stage at ${address}: ${describe(error)} Again in ${delayMs} ms.`),
    })
    this.#downstream.start()
  }

  /** A loaded, empty engine takes over; nothing of an earlier one is listened to any more. */
  attachEngine(engine: StageEngine): void {
    this.#engine = engine
    const { capacity, kv } = engine
    const columns = kv.layouts.reduce(
      (sum, layout) => sum + kvColumns(layout, 'key') + kvColumns(layout, 'value'),
      0,
    )
    this.#feed({ type: 'engine-ready', capacity, kv: { type: kv.type, columns } })
  }

  /** The engine died. Its sessions are lost; the ring starts over when another is attached. */
  detachEngine(reason: string): void {
    if (this.#engine === null) return
    this.#engine = null
    this.edge.handover?.forgotten()
    this.#feed({ type: 'engine-lost', reason })
  }

  /** Takes no more requests and resolves when those accepted are answered. */
  drain(): Promise<void> {
    const drained = new Promise<void>((resolve) => this.#drained.push(resolve))
    this.#feed({ type: 'drain' })
    if (this.#isDrained) this.#resolveDrained()
    return drained
  }

  /** Ends links and clock at once; the engine stays the caller's. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#stopTicking()
    this.#downstream?.stop()
    await this.edge.transport.stop()
  }

  /** The link to the next stage; `null` while there is none. */
  get nextLink(): Link | null {
    return this.#downstream?.link ?? null
  }

  snapshot(): RingSnapshot {
    return this.#node.snapshot()
  }

  #accept(link: Link): LinkHandlers {
    if (link.role === 'guest') return this.#acceptGuest(link)
    if (link.role === 'rank') return this.#acceptRank(link)
    return link.role === 'gateway' ? this.#acceptGateway(link) : this.#acceptUpstream(link)
  }

  #acceptRank(link: Link): LinkHandlers {
    const { acceptRank } = this.edge
    if (acceptRank) return acceptRank(link)
    link.close('this worker computes its stage alone')
    return { onMessage: () => {}, onClose: () => {} }
  }

  #acceptGuest(link: Link): LinkHandlers {
    const guest = this.edge.handover?.accept(link)
    if (guest === undefined) {
      link.close('this worker takes nothing over')
      return { onMessage: () => {}, onClose: () => {} }
    }
    return {
      onMessage: (message) => {
        if (isKvMessage(message)) guest.message(message)
        else link.close(`a guest sends no ${message.type}`)
      },
      onClose: (reason) => guest.closed(reason),
    }
  }

  #acceptGateway(link: Link): LinkHandlers {
    const gateway = link.peer
    const older = this.#gateways.get(gateway)
    if (older !== undefined) {
      this.#gateways.delete(gateway)
      older.close('the gateway connected again')
      this.#feed({ type: 'gateway-lost', gateway })
    }
    this.#gateways.set(gateway, link)
    this.#feed({ type: 'gateway-connected', gateway })
    const handover = this.edge.handover?.accept(link)
    return {
      onMessage: (message) => {
        if (this.#gateways.get(gateway) !== link) return
        if (handover !== undefined && isKvMessage(message)) handover.message(message)
        else this.#feed({ type: 'gateway-message', gateway, message })
      },
      onClose: (reason) => {
        handover?.closed(reason)
        if (this.#gateways.get(gateway) !== link) return
        this.#gateways.delete(gateway)
        this.#feed({ type: 'gateway-lost', gateway })
      },
    }
  }

  #acceptUpstream(link: Link): LinkHandlers {
    const { previousPeer, identity } = this.options
    const expected = previousPeer === null ? 'none' : previousPeer
    if (identity.stages === 1 || (previousPeer !== null && link.peer !== previousPeer)) {
      this.edge.onNote(
        'warn',
        `Worker ${link.peer} wanted to be the previous stage; expected is ${expected}.`,
      )
      link.close(`the previous stage is ${expected}`)
      return { onMessage: () => {}, onClose: () => {} }
    }
    const older = this.#upstream
    this.#upstream = link
    if (older !== null) {
      older.close('the previous stage connected again')
      this.#feed({ type: 'upstream-lost', reason: 'the previous stage connected again' })
    }
    return {
      onMessage: (message) => {
        if (this.#upstream === link) this.#feed({ type: 'upstream-message', message })
      },
      onClose: (reason) => {
        if (this.#upstream !== link) return
        this.#upstream = null
        this.#feed({ type: 'upstream-lost', reason })
      },
    }
  }

  #feed(event: RingEvent): void {
    if (!this.#stopped) this.#events.push(event)
  }

  #perform(effect: RingEffect): void {
    switch (effect.type) {
      case 'send-downstream':
        this.#send(this.#downstream?.link, effect.message)
        break
      case 'send-gateway':
        this.#send(this.#gateways.get(effect.gateway), effect.message)
        break
      case 'close-gateway':
        this.edge.onNote('warn', `Gateway ${effect.gateway} is cut off: ${effect.reason}.`)
        this.#gateways.get(effect.gateway)?.close(effect.reason)
        break
      case 'drained':
        this.#isDrained = true
        this.#resolveDrained()
        break
      case 'note':
        this.edge.onNote(effect.level, effect.text)
        break
      case 'import-opened':
      case 'import-closed':
        this.edge.handover?.imports(effect)
        break
      default:
        this.#performEngine(effect)
    }
  }

  /** Amounts in flight are bounded by the leader, so a full queue needs no waiting here, only its hard limit. */
  #send(link: Link | null | undefined, message: Parameters<Link['send']>[0]): void {
    if (link === null || link === undefined) return
    try {
      link.send(message)
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      this.edge.onNote('warn', describe(error))
      link.close(error.message)
    }
  }

  #performEngine(effect: EngineEffect): void {
    const engine = this.#engine
    if (engine === null) return
    const ifCurrent = (event: RingEvent): void => {
      if (this.#engine === engine) this.#feed(event)
    }
    switch (effect.type) {
      case 'engine-open':
        engine.open(effect.session)
        this.edge.handover?.opened(effect.id, effect.session)
        break
      case 'engine-close':
        this.edge.handover?.closed(effect.key)
        engine.close(effect.key)
        break
      case 'engine-step': {
        const { epoch, step } = effect
        const askedMs = this.edge.timers.now()
        engine.step(effect.work).then(
          (result) => {
            if (this.#engine === engine) this.edge.handover?.computed(effect.work.entries)
            ifCurrent({ type: 'engine-stepped', epoch, step, result, ...this.#between(askedMs, result) })
          },
          (error: unknown) => ifCurrent({ type: 'engine-failed', epoch, step, reason: describe(error) }),
        )
        break
      }
      case 'engine-prepare': {
        const { epoch, request, needs, maxTokens } = effect
        engine.prepare(needs, maxTokens).then(
          () => ifCurrent({ type: 'engine-prepared', epoch, request, problem: null }),
          (error: unknown) =>
            ifCurrent({ type: 'engine-prepared', epoch, request, problem: describe(error) }),
        )
        break
      }
      case 'engine-reset':
        this.edge.handover?.forgotten()
        engine.reset().then(
          () => ifCurrent({ type: 'engine-reset-done' }),
          (error: unknown) => {
            if (this.#engine === engine) this.detachEngine(`it cannot be reset: ${describe(error)}`)
          },
        )
    }
  }

  /** What a step took besides computing: here since it was asked for, and what it will take to the next stage. */
  #between(askedMs: number, { computeUs }: EngineStepResult): { waitUs: number; linkUs: number } {
    const passedUs = Math.round((this.edge.timers.now() - askedMs) * 1000)
    const roundTripMs = this.nextLink?.estimates.roundTripMs ?? 0
    return { waitUs: Math.max(0, passedUs - computeUs), linkUs: Math.round(roundTripMs * 500) }
  }

  #resolveDrained(): void {
    for (const resolve of this.#drained.splice(0)) resolve()
  }
}
