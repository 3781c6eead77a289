import { setImmediate } from 'node:timers/promises'
import { describeError, kvColumns, type PositionRange, type SessionId } from '@deos/domain'
import {
  blocksOf,
  type EngineSession,
  type ImportEffect,
  KV_ID_BYTES,
  type KvAddress,
  type KvBlock,
  type KvMessage,
  type KvPlan,
  KvReceiver,
  KvSender,
  kvBlockKey,
  type ReceiverEffect,
  type ReceiverEvent,
  type SenderEffect,
  type SenderEvent,
  type SessionKey,
  type StageEngine,
  type StepEntry,
} from '@deos/protocol'
import { every, type HandoverEdge, type HandoverLink, type Link, type Timers } from '@deos/transport'
import type { KvBlockStore } from '../kv-store/index.ts'
import { AckedGoodput } from './acked-goodput.ts'
import { BLOCK_CODEC_VERSION, type BlockFacts, knowsLevels } from './block-codec.ts'
import { blockPositions, parts, placeOf } from './block-place.ts'
import type { BlockCodec } from './codec-client.ts'
import { EarlyRows, type LayerRows } from './early-rows.ts'
import { GuestLinks, type GuestLinksOptions } from './guest-links.ts'
import { type HeldPrompt, HeldPrompts } from './held-prompts.ts'
import { type TransferCount, TransferTally } from './transfer-tally.ts'

export interface KvExchangeOptions
  extends Pick<GuestLinksOptions, 'worker' | 'network' | 'timers' | 'random' | 'onNote'> {
  readonly codec: BlockCodec
  /** Blocks that came are kept there for later prompts; `null` keeps none. */
  readonly store: KvBlockStore | null
  /** Time that the engine computed so far. */
  readonly computeUs: () => number
}

interface Sending {
  readonly plan: KvPlan
  readonly coordinator: string
}

type Import = ImportEffect & { readonly type: 'import-opened' }
const TICK_MS = 100
/** Runs of positions that are looked up between two turns of the event loop. */
const LOOK_UPS_PER_TURN = 16
/** More than a block as it is stored has before its values. */
const PLAIN_HEAD_BYTES = 64

/**
 * The hand-overs of one stage, in both directions: joins {@link KvSender} and {@link KvReceiver} to engine, codec, store
 * and links. Everything that computes runs beside the event loop, and slices are read beside steps.
 */
export class KvExchange implements HandoverEdge {
  readonly #sender = new KvSender()
  readonly #receiver = new KvReceiver()
  readonly #guests: GuestLinks
  /** Gateways, for both directions. */
  readonly #gateways = new Map<string, Link>()
  /** Workers that call on this one. */
  readonly #callers = new Map<string, Link>()
  readonly #held = new HeldPrompts()
  readonly #early = new EarlyRows()
  readonly #imports = new Map<SessionId, Import>()
  readonly #sending = new Map<SessionId, Sending>()
  readonly #receiving = new Map<SessionId, KvPlan>()
  /** Sessions whose pages may go, since the coordinator knows what they hold. */
  readonly #promised = new Set<SessionId>()
  readonly #sent = new TransferTally<SessionId>()
  readonly #came = new TransferTally<SessionId>()
  readonly #goodput = new AckedGoodput()
  #engine: StageEngine | null = null
  /** That the engine computed so far. */
  #positions = 0
  readonly #stopTicking: () => void
  readonly #timers: Timers

  constructor(private readonly options: KvExchangeOptions) {
    this.#timers = options.timers
    this.#guests = new GuestLinks({
      ...options,
      onUp: (peer) => this.#send({ type: 'linked', peer, role: 'worker' }),
      onMessage: (peer, message) => {
        if (message.type === 'kv-ack') this.#goodput.acked(peer, message, this.#timers.now())
        this.#send({ type: 'message', peer, message })
      },
      onDown: (peer) => {
        this.#goodput.lost(peer)
        this.#send({ type: 'unlinked', peer })
      },
    })
    this.#stopTicking = every(this.#timers, TICK_MS, () => {
      this.#send({ type: 'tick' })
      this.#receive({ type: 'tick' })
    })
  }

  /** The engine to read from and write to; `null` while there is none. */
  attach(engine: StageEngine | null): void {
    this.#engine = engine
  }

  async stop(): Promise<void> {
    this.#stopTicking()
    await Promise.all([this.#guests.stop(), this.options.codec.stop()])
  }

  opened(id: SessionId, session: EngineSession): void {
    if (this.#held.opened(id, session) !== null) this.#tellComputed(id)
  }

  computed(entries: readonly StepEntry[]): void {
    for (const { count } of entries) this.#positions += count
    for (const { id, key } of this.#held.computed(entries)) {
      this.#early.drop(key)
      this.#tellComputed(id)
    }
  }

  /** Amid a step: K and V of a layer are there. Blocks leave if they begin where the step's positions do. */
  stored(rows: LayerRows): void {
    const held = this.#held.byKey(rows.key)
    const sending = held && this.#sending.get(held.id)
    if (held === undefined || sending === undefined) return
    if (rows.first % sending.plan.shape.blockTokens !== 0) return
    this.#early.add(rows)
    const layers = { first: rows.layer, end: rows.layer + 1 }
    this.#send({ type: 'computed', session: held.id, layers, end: rows.first + rows.count })
  }

  closed(key: SessionKey): void {
    this.#held.closed(key)
    this.#early.drop(key)
  }

  forgotten(): void {
    this.#held.clear()
    this.#early.clear()
  }

  imports(effect: ImportEffect): void {
    const { session } = effect
    if (effect.type === 'import-opened') {
      this.#imports.set(session, effect)
      return
    }
    if (this.#imports.get(session)?.key !== effect.key) return
    this.#imports.delete(session)
    if (this.#promised.has(session)) {
      this.options.onNote('info', `Prompt ${session} is taken over.`)
      this.#receive({ type: 'closed', session })
      return
    }
    this.#receive({ type: 'lost', session, reason: 'The pages were needed, or lost with their ring.' })
  }

  accept(link: Link): HandoverLink {
    return link.role === 'gateway' ? this.#acceptGateway(link) : this.#acceptGuest(link)
  }

  #acceptGateway(link: Link): HandoverLink {
    const { peer } = link
    this.#gateways.set(peer, link)
    const linked = { type: 'linked', peer, role: 'gateway' } as const
    this.#send(linked)
    this.#receive(linked)
    return {
      message: (message) => this.#fromGateway(peer, message),
      closed: () => {
        if (this.#gateways.get(peer) !== link) return
        this.#gateways.delete(peer)
        this.#send({ type: 'unlinked', peer })
        this.#receive({ type: 'unlinked', peer })
      },
    }
  }

  #acceptGuest(link: Link): HandoverLink {
    const { peer } = link
    this.#callers.get(peer)?.close('the guest called again')
    this.#callers.set(peer, link)
    this.#receive({ type: 'linked', peer, role: 'worker' })
    return {
      message: (message) => {
        if (this.#callers.get(peer) !== link) return
        // What comes when its session is over would be counted for ever.
        if (message.type === 'kv-block' && this.#receiving.has(message.session))
          this.#came.add(message.session, message, message.bytes.length)
        this.#receive({ type: 'message', peer, message })
      },
      closed: () => {
        if (this.#callers.get(peer) !== link) return
        this.#callers.delete(peer)
        this.#receive({ type: 'unlinked', peer })
      },
    }
  }

  #fromGateway(peer: string, message: KvMessage): void {
    const { session } = message
    switch (message.type) {
      case 'kv-introduce':
        this.#guests.introduce(message)
        return
      case 'kv-plan': {
        const problem = this.#planProblem(message)
        if (problem !== null) {
          this.#giveUp(session, message.epoch, peer, problem)
          return
        }
        this.#follow(peer, message)
        return
      }
      case 'kv-commit':
        this.#receive({ type: 'message', peer, message })
        return
      case 'kv-committed':
        this.#send({ type: 'message', peer, message })
        return
      case 'kv-abort':
        if (this.#receiving.has(session)) this.#receive({ type: 'message', peer, message })
        else this.#send({ type: 'message', peer, message })
    }
  }

  /** Only plans that are taken count: not those that come late, or doubled, or of somebody else. */
  #follow(coordinator: string, plan: KvPlan): void {
    const { session } = plan
    const event = { type: 'message', peer: coordinator, message: plan } as const
    const now = this.#timers.now()
    if (plan.role === 'send') {
      const effects = this.#sender.onEvent(event, now)
      if (this.#sender.planOf(session) === plan) this.#sending.set(session, { plan, coordinator })
      for (const effect of effects) this.#performSender(effect)
    } else {
      const effects = this.#receiver.onEvent(event, now)
      if (this.#receiver.planOf(session) === plan) this.#receiving.set(session, plan)
      for (const effect of effects) this.#performReceiver(effect)
    }
  }

  /** Why this stage cannot do what a plan says. */
  #planProblem({ layers, levels, enhanceTo, shape, calibration }: KvPlan): string | null {
    const own = this.#engine?.kv.layers
    if (own === undefined) return 'The engine is not there.'
    if (layers.first < own.first || layers.end > own.end) {
      return `Layers [${layers.first}, ${layers.end}) are not all of [${own.first}, ${own.end}) here.`
    }
    const present = this.options.codec.calibration
    if (calibration !== null && calibration !== present?.id) {
      return `KV is to be coded with calibration ${calibration}; this worker has ${present?.id ?? 'none'}.`
    }
    if (!knowsLevels([...levels, enhanceTo ?? 0], calibration === null ? null : present)) {
      return `Levels ${[...new Set(levels)].join(', ')} are not all known here.`
    }
    return shape.parts === 2 ? null : 'This worker numbers keys and values apart.'
  }

  #giveUp(
    session: SessionId,
    epoch: number,
    coordinator: string,
    reason: string,
    level: 'info' | 'warn' = 'warn',
  ): void {
    this.options.onNote(level, `Hand-over of ${session}: ${reason}`)
    this.#gateways
      .get(coordinator)
      ?.send({ type: 'kv-abort', epoch, session, outcome: 'keep', reason, bytes: 0 })
  }

  #tellComputed(session: SessionId): void {
    const held = this.#held.get(session)
    const layers = this.#engine?.kv.layers
    if (held === undefined || layers === undefined || held.computed === 0) return
    const length = this.#sending.get(session)?.plan.shape.length
    if (held.computed === length) this.options.onNote('info', `Prompt ${session} is computed.`)
    this.#send({ type: 'computed', session, layers, end: held.computed })
  }

  #send(event: SenderEvent): void {
    for (const effect of this.#sender.onEvent(event, this.#timers.now())) this.#performSender(effect)
  }

  #performSender(effect: SenderEffect): void {
    switch (effect.type) {
      case 'send': {
        const { peer, message } = effect
        if (message.type === 'kv-block') this.#sent.add(message.session, message, message.bytes.length)
        if (message.type === 'kv-block') this.#goodput.sent(peer, message, this.#timers.now())
        const priority = message.type === 'kv-block' && this.#refines(message) ? 'weights' : 'kv'
        ;(this.#gateways.get(peer) ?? this.#guests.link(peer))?.send(message, priority)
        break
      }
      case 'begin':
        this.#tellComputed(effect.session)
        break
      case 'encode':
        void this.#encode(effect)
        break
      case 'release':
        this.#noteEarly(effect.session)
        this.#noteSent(effect.session)
        break
      case 'aborted':
        // The gateway ends the session in the ring.
        this.#noteSent(effect.session)
    }
  }

  /** Whether a block is a better copy of one that came: on its way it waits for everything else. */
  #refines({ session, layer, level }: Pick<KvBlock, 'session' | 'layer' | 'level'>): boolean {
    const plan = this.#sending.get(session)?.plan
    return plan !== undefined && level < (plan.levels[layer - plan.layers.first] ?? 0)
  }

  async #encode(effect: SenderEffect & { readonly type: 'encode' }): Promise<void> {
    const { type: _, ...address } = effect
    const { session, epoch } = effect
    const sending = this.#sending.get(session)
    if (sending === undefined) return
    try {
      const { shape } = sending.plan
      const held = this.#held.get(session)
      const engine = this.#engine
      if (held === undefined || engine === null) throw new Error('the prompt is not in this stage any more')
      const positions = blockPositions(shape, effect)
      const facts = this.#facts(engine, effect, positions)
      const rows = await this.#rows(engine, held, facts, positions)
      // Had it ended meanwhile, its pages could be somebody else's.
      if (this.#held.get(session) !== held) throw new Error('the prompt left this stage while it was read')
      const { calibration } = sending.plan
      const plain =
        effect.level === 0 &&
        rows.length + PLAIN_HEAD_BYTES <= sending.plan.maxBlockBytes &&
        this.options.codec.worth.prefersPlain(
          this.#guests.link(effect.peer)?.estimates.bytesPerSecond ?? this.#goodput.of(effect.peer),
        )
      const coding = { level: effect.level, calibrated: calibration !== null, plain }
      const bytes = await this.options.codec.encode(rows, facts, coding)
      this.#send({ ...address, type: 'encoded', basis: basisNumber(calibration), bytes })
    } catch (error) {
      // It ended meanwhile, or goes on by another plan.
      if (this.#sending.get(session) !== sending) return
      const reason = `A block cannot be sent: ${describeError(error)}`
      this.#giveUp(session, epoch, sending.coordinator, reason, this.#refines(effect) ? 'info' : 'warn')
    }
  }

  async #rows(
    engine: StageEngine,
    { key, pages }: HeldPrompt,
    { layer, part, columns }: BlockFacts,
    positions: PositionRange,
  ): Promise<Uint8Array> {
    if (columns === 0) return new Uint8Array(0)
    const early = this.#early.find(key, layer, part, positions)
    if (early !== null) return early
    const place = placeOf(positions, 0, pages, engine.capacity.pageTokens)
    return engine.readKv({ layer, part, ...place, encoding: 'stored' })
  }

  #facts(engine: StageEngine, { layer, part }: KvAddress, { first, end }: PositionRange): BlockFacts {
    const { layers, layouts, type } = engine.kv
    const name = parts[part]!
    const columns = kvColumns(layouts[layer - layers.first]!, name)
    const layout = layouts[layer - layers.first]!
    const turning = name === 'key' && layout.rotation !== null
    const rotation = turning ? { headDim: layout.key.dim, ...layout.rotation } : null
    return { layer, part: name, tokens: end - first, columns, firstPosition: first, type, rotation }
  }

  /** All layers' rows may be away while what follows the last layer's attention is still computed. */
  #noteEarly(session: SessionId): void {
    const held = this.#held.get(session)
    const length = this.#sending.get(session)?.plan.shape.length
    if (held === undefined || length === undefined || held.computed >= length) return
    this.options.onNote('info', `Prompt ${session} is handed over before its last step ends.`)
  }

  #noteSent(session: SessionId): void {
    const plan = this.#sending.get(session)?.plan
    this.#sending.delete(session)
    this.#goodput.over(session)
    this.#noteCount('Sent', session, this.#sent.take(session), plan)
  }

  #receive(event: ReceiverEvent): void {
    for (const effect of this.#receiver.onEvent(event, this.#timers.now())) this.#performReceiver(effect)
  }

  #performReceiver(effect: ReceiverEffect): void {
    switch (effect.type) {
      case 'send':
        if (effect.message.type === 'kv-committed') this.#promised.add(effect.message.session)
        ;(this.#gateways.get(effect.peer) ?? this.#callers.get(effect.peer))?.send(effect.message, 'kv')
        break
      case 'look-up':
        void this.#lookUp(effect.plan)
        break
      case 'write':
        void this.#write(effect.block)
        break
      case 'close-link':
        this.options.onNote('warn', `Guest ${effect.peer} is cut off: ${effect.reason}.`)
        this.#callers.get(effect.peer)?.close(effect.reason)
        break
      case 'over': {
        const receiving = this.#receiving.get(effect.session)
        this.#receiving.delete(effect.session)
        this.#promised.delete(effect.session)
        this.#noteCount('Took', effect.session, this.#came.take(effect.session), receiving)
      }
    }
  }

  #noteCount(what: string, session: SessionId, count: TransferCount | null, plan: KvPlan | undefined): void {
    if (count === null || plan === undefined) return
    const { blocks, again, bytes } = count
    const levels = [...new Set(plan.levels)].sort((a, b) => a - b).join(', ')
    this.options.onNote(
      'info',
      `${what} ${blocks} blocks of ${session}, ${again} again, ${bytes} bytes for ${plan.shape.length} positions at level ${levels}.`,
    )
  }

  /** Blocks that need not travel: what the ring found in its cache, and what this machine kept. */
  async #lookUp(plan: KvPlan): Promise<void> {
    const { session, epoch, shape, layers } = plan
    const imported = this.#imports.get(session)
    if (imported === undefined) {
      this.#receive({ type: 'lost', session, reason: 'There are no pages for it here.' })
      return
    }
    const blocks: (KvAddress & { readonly level: number })[] = []
    for (let block = 0; block < blocksOf(shape); block++) {
      // Tens of thousands are looked up of a long prompt: steps go on meanwhile.
      if (block % LOOK_UPS_PER_TURN === LOOK_UPS_PER_TURN - 1) await setImmediate()
      const cached = blockPositions(shape, { block }).end <= imported.first
      for (let layer = layers.first; layer < layers.end; layer++) {
        for (const part of parts.keys()) {
          const address = { block, layer, part }
          const level = cached ? 0 : await this.#restore(plan, address)
          if (level !== null) blocks.push({ ...address, level })
        }
      }
    }
    this.#receive({ type: 'found', session, epoch, blocks })
  }

  /** At which level a block was kept that is good enough; `null` if none was. */
  async #restore(plan: KvPlan, address: KvAddress): Promise<number | null> {
    const { store } = this.options
    if (store === null) return null
    const wanted = plan.levels[address.layer - plan.layers.first]!
    for (const level of new Set([0, wanted])) {
      const key = storeKey(plan, address, level)
      const bytes = store.has(key) ? await store.get(key) : null
      if (bytes === null) continue
      try {
        await this.#place(plan, address, bytes)
        return level
      } catch {
        // It comes from its sender instead.
      }
    }
    return null
  }

  async #write(block: KvBlock): Promise<void> {
    const { session, epoch, layer, part, level, bytes } = block
    const plan = this.#receiving.get(session)
    const answer = { session, epoch, block: block.block, layer, part, level } as const
    try {
      if (plan === undefined) throw new Error('there is no plan for it')
      await this.#place(plan, block, bytes)
      this.options.store?.put(storeKey(plan, block, level), bytes, this.#recomputeMs(plan))
      this.#receive({ type: 'written', ...answer, stored: true })
    } catch (error) {
      // A better copy may find its pages closed at any time.
      const weight = this.#promised.has(session) ? 'info' : 'warn'
      this.options.onNote(weight, `A block of ${session} cannot be written: ${describeError(error)}`)
      this.#receive({ type: 'written', ...answer, stored: false })
    }
  }

  /** Decodes a block and writes what of it the ring does not have. */
  async #place({ session, shape }: KvPlan, address: KvAddress, bytes: Uint8Array): Promise<void> {
    const engine = this.#engine
    const imported = this.#imports.get(session)
    if (engine === null || imported === undefined) throw new Error('its pages are gone')
    const positions = blockPositions(shape, address)
    const facts = this.#facts(engine, address, positions)
    const rows = await this.options.codec.decode(bytes, facts)
    if (facts.columns === 0) return
    if (this.#imports.get(session) !== imported) throw new Error('its pages are gone')
    const first = Math.max(positions.first, imported.first)
    const skipped = ((first - positions.first) * rows.length) / facts.tokens
    const place = placeOf(
      { first, end: positions.end },
      imported.first,
      imported.pages,
      engine.capacity.pageTokens,
    )
    const { layer, part } = facts
    // Sessions hold them since they were promised: between two steps they get what is better.
    const refines = this.#promised.has(session)
    await engine.writeKv(
      { layer, part, ...place, encoding: 'stored', data: rows.subarray(skipped), refines },
      () => this.#imports.get(session) === imported,
    )
  }

  /** What computing a block again would take: its share of the layers' time. */
  #recomputeMs({ shape }: KvPlan): number {
    const layers = this.#engine?.kv.layouts.length ?? 1
    const positionMs = this.options.computeUs() / 1000 / Math.max(1, this.#positions)
    return (positionMs * shape.blockTokens) / (layers * parts.length)
  }
}

function storeKey({ ids, calibration }: KvPlan, { block, layer, part }: KvAddress, level: number): string {
  const run = ids.subarray(block * KV_ID_BYTES, (block + 1) * KV_ID_BYTES)
  const coding = { version: BLOCK_CODEC_VERSION, level, basis: basisNumber(calibration) }
  return kvBlockKey({ run, layer, part: parts[part]!, ...coding })
}

/** A calibration as blocks name it: the first half of its id. What decodes compares all of it. */
const basisNumber = (calibration: string | null): number =>
  calibration === null ? 0 : Number.parseInt(calibration.slice(0, 8), 16)
