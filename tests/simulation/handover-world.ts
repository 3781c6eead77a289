import { type LayerRange, type Random, seededRandom, sessionId } from '@deos/domain'
import {
  assertDecodable,
  blocksOf,
  type CoordinatorEffect,
  type CoordinatorEvent,
  commonLayers,
  crc32,
  defaultWireLimits,
  HandoverCoordinator,
  KV_ID_BYTES,
  type KvAddress,
  type KvMessage,
  KvReceiver,
  type KvRoute,
  KvSender,
  type KvShape,
  type ReceiverEffect,
  type ReceiverEvent,
  type SenderEffect,
  type SenderEvent,
} from '@deos/protocol'
import { type Connection, EventQueue, SerialNetwork } from './handover-network.ts'

const session = sessionId('s')
const GATEWAY = 'gateway'
const WINDOW_BYTES = 200
const MAX_BLOCK_BYTES = 64
const FAULTS_END_MS = 400
const END_MS = 20_000
const TICK_MS = 40

/** One machine of the prefill ring; its memory is gone when `alive` is not. */
interface Source {
  readonly peer: string
  readonly layers: LayerRange
  readonly sender: KvSender
  readonly computed: Map<number, number>
  planned: boolean
  alive: boolean
  released: boolean
}

/** One machine of the decode ring, with its pages. */
interface Sink {
  readonly peer: string
  readonly layers: LayerRange
  readonly receiver: KvReceiver
  /** Level and content of what is written where. */
  readonly pages: Map<string, { readonly level: number; readonly bytes: Uint8Array }>
  over: boolean
  alive: boolean
  /** Somebody needed a page: what is there stays, and nothing may be written. */
  closed: boolean
}

/**
 * One session handed over between two rings of shipped machines, with drawn stage boundaries, speeds, faults and
 * forgeries. Links carry one message after another; killing one loses what has not arrived.
 */
export class HandoverWorld {
  readonly problems: string[] = []
  readonly log: string[] = []
  kills = 0
  changes = 0
  outcome: string | null = null
  startedAt: number | null = null
  /** How the better copies after the start ended; `null` if there were to be none. */
  refined: { readonly complete: boolean; readonly reason: string } | null = null
  readonly shape: KvShape
  readonly #random: Random
  readonly #queue = new EventQueue()
  readonly #network: SerialNetwork
  readonly #sources = new Map<string, Source>()
  readonly #sinks = new Map<string, Sink>()
  readonly #coordinator: HandoverCoordinator
  /** As last planned. */
  readonly #levels: number[]
  readonly #enhanceTo: number | null
  readonly #corruption: number
  readonly #duplication: number
  /** Most that writing a block takes, in ms. */
  readonly #slowness: number
  readonly #arrived = new Set<string>()
  readonly #refused = new Set<string>()
  readonly #layers: number
  #senders: KvRoute[]
  #receivers: KvRoute[]
  #names = 0
  #guardTries = 0
  #over = false
  /** A prefill ring that lost a stage for good lets go of the others. */
  #sendersGone = false
  readonly #accused: string[] = []
  #decisions = 0
  /** What the decode ring runs, by the epoch it was started in; at most the last one is listened to. */
  #running: { readonly epoch: number; readonly position: number } | null = null

  constructor(
    seed: number,
    private readonly options: {
      readonly faults: boolean
      readonly wire: boolean
      /** All of it comes with loss, and better copies are to follow. */
      readonly enhance: boolean
    },
  ) {
    this.#random = seededRandom(seed)
    this.#network = new SerialNetwork(this.#queue, this.#random)
    this.#layers = this.#draw(1, 6)
    this.shape = {
      length: this.#draw(1, 40),
      blockTokens: this.#draw(4, 16),
      parts: this.#chance(0.5) ? 2 : 1,
    }
    const { enhance } = options
    const lossy = enhance || this.#chance(0.4)
    this.#levels = Array.from({ length: this.#layers }, () => (lossy ? this.#draw(0, 3) : 0))
    if (enhance) this.#levels[0] = 3
    this.#enhanceTo = enhance ? this.#draw(0, 1) : lossy && this.#chance(0.5) ? 0 : null
    this.#corruption = options.faults && this.#chance(0.3) ? 0.03 : 0
    this.#duplication = options.faults ? this.#draw(0, 2) * 0.1 : 0
    this.#slowness = this.#chance(0.3) ? 30 : 4
    this.#senders = this.#cut('p')
    this.#receivers = this.#cut('d')
    for (const route of this.#senders) this.#addSource(route)
    for (const route of this.#receivers) this.#addSink(route)
    this.#coordinator = new HandoverCoordinator({
      session,
      shape: this.shape,
      ids: new Uint8Array(blocksOf(this.shape) * KV_ID_BYTES).fill(7),
      maxBlockBytes: MAX_BLOCK_BYTES,
      senders: this.#senders,
      receivers: this.#receivers,
      levels: [...this.#levels],
      enhanceTo: this.#enhanceTo,
      enhanceMs: options.faults && this.#chance(0.2) ? this.#draw(5, 100) : 4_000,
      judgedLater: enhance && this.#chance(0.5),
      deadlineMs: options.faults && this.#chance(0.2) ? this.#draw(5, 100) : 3_000,
      answerMs: 500,
      firstEpoch: this.#draw(1, 9),
    })
  }

  run(): void {
    for (const peer of [...this.#sources.keys(), ...this.#sinks.keys()]) this.#connect(GATEWAY, peer)
    for (const source of this.#sources.values()) this.#linkSinks(source)
    this.#queue.after(this.#draw(0, 5), () => this.#coordinate({ type: 'begin' }))
    if (this.options.faults) this.#drawFaults()
    this.#tick()
    while (this.#queue.nowMs < END_MS && this.problems.length === 0 && this.#queue.step()) this.#check()
    if (this.problems.length === 0) this.#checkEnd()
  }

  #draw(min: number, max: number): number {
    return min + Math.floor(this.#random.next() * (max - min + 1))
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability
  }

  #fail(problem: string): void {
    this.problems.push(`${this.#queue.nowMs.toFixed(2)} ms: ${problem}`)
  }

  #cut(prefix: string): KvRoute[] {
    const ends = new Set([this.#layers])
    for (let n = this.#draw(0, 3); n > 0; n--) ends.add(this.#draw(1, this.#layers))
    let first = 0
    return [...ends]
      .sort((a, b) => a - b)
      .map((end) => {
        const layers = { first, end }
        first = end
        return { peer: `${prefix}${this.#names++}`, layers }
      })
  }

  #addSource({ peer, layers }: KvRoute): Source {
    const sender = new KvSender({
      maxBytesInFlight: WINDOW_BYTES,
      maxRefiningBytes: MAX_BLOCK_BYTES,
      maxRefusals: 8,
      offerRetryMs: 100,
      orphanPatienceMs: 2_000,
      maxTransfers: 4,
    })
    const source = { peer, layers, sender, computed: new Map(), planned: false, alive: true, released: false }
    this.#sources.set(peer, source)
    this.#compute(source, 0, this.#draw(1, 15))
    return source
  }

  #addSink({ peer, layers }: KvRoute): Sink {
    const receiver = new KvReceiver({ windowBytes: WINDOW_BYTES, orphanPatienceMs: 2_000, maxTransfers: 4 })
    const sink = { peer, layers, receiver, pages: new Map(), over: false, alive: true, closed: false }
    this.#sinks.set(peer, sink)
    return sink
  }

  #linkSinks(source: Source): void {
    for (const sink of this.#sinks.values()) {
      if (sink.alive && commonLayers(source.layers, sink.layers) !== null)
        this.#connect(source.peer, sink.peer)
    }
  }

  /** Layer after layer of chunk after chunk. */
  #compute(source: Source, done: number, chunk: number): void {
    if (!source.alive || done >= this.shape.length) return
    const end = Math.min(this.shape.length, done + chunk)
    const { first } = source.layers
    const layer = (at: number): void => {
      if (at === source.layers.end) {
        this.#compute(source, end, chunk)
        return
      }
      this.#queue.after(this.#draw(0, 20) / 10, () => {
        if (!source.alive) return
        source.computed.set(at, end)
        if (source.planned) {
          const layers = { first: at, end: at + 1 }
          this.#send(source, { type: 'computed', session, layers, end })
          if (at === this.#layers - 1 && end === this.shape.length) this.#sendGuard(source)
        }
        layer(at + 1)
      })
    }
    layer(first)
  }

  #sendGuard(source: Source): void {
    const rows = [{ position: this.shape.length - 1, logSumExp: 1, top: [{ token: 3, logit: 0.5 }] }]
    this.#send(source, { type: 'guard', session, rows })
  }

  #connect(a: string, b: string): void {
    if (!this.#alive(a) || !this.#alive(b)) return
    this.#network.connect(a, b, {
      linked: (at, peer) => this.#linked(at, peer),
      unlinked: (at, peer) => this.#unlinked(at, peer),
      deliver: (from, to, message) => this.#deliver(from, to, message),
      lost: () => this.#queue.after(this.#draw(1, 60), () => this.#connect(a, b)),
    })
  }

  #alive(peer: string): boolean {
    if (peer === GATEWAY) return true
    return (this.#sources.get(peer) ?? this.#sinks.get(peer))?.alive === true
  }

  #linked(at: string, peer: string): void {
    if (at === GATEWAY) this.#coordinate({ type: 'linked', peer })
    const source = this.#sources.get(at)
    if (source !== undefined) this.#send(source, { type: 'linked', peer, role: roleOf(peer) })
    const sink = this.#sinks.get(at)
    if (sink !== undefined) this.#receive(sink, { type: 'linked', peer, role: roleOf(peer) })
  }

  #unlinked(at: string, peer: string): void {
    if (at === GATEWAY) this.#coordinate({ type: 'unlinked', peer })
    const source = this.#sources.get(at)
    if (source !== undefined) this.#send(source, { type: 'unlinked', peer })
    const sink = this.#sinks.get(at)
    if (sink !== undefined) this.#receive(sink, { type: 'unlinked', peer })
  }

  #deliver(from: string, to: string, sent: KvMessage): void {
    const damaged = sent.type === 'kv-block' && this.#chance(this.#corruption)
    const message = damaged ? damage(sent) : sent
    if (message.type === 'kv-ack') {
      for (const { stored, ...block } of message.verdicts) {
        // A refusal that is heard twice brings a block twice.
        if (!stored) this.#refused.add(arrivalKey(from, { ...block, epoch: message.epoch }))
      }
    }
    if (message.type === 'kv-block' && !damaged) this.#count(to, message)
    const times = this.#chance(this.#duplication) ? 2 : 1
    for (let n = 0; n < times; n++) this.#hand(from, to, message)
    const accused = this.#accused.length
    if (accused > 0) this.#fail(this.#accused.join('; '))
    if (this.options.faults && this.#chance(0.02)) this.#forge(from, to, message)
    // Whom a forger lets be accused is not to be blamed.
    this.#accused.length = accused
  }

  #hand(from: string, to: string, message: KvMessage): void {
    if (to === GATEWAY) this.#coordinate({ type: 'message', peer: from, message })
    const source = this.#sources.get(to)
    if (source?.alive) this.#send(source, { type: 'message', peer: from, message })
    const sink = this.#sinks.get(to)
    if (sink?.alive) this.#receive(sink, { type: 'message', peer: from, message })
  }

  /** What no honest peer would say: it must not change anything. */
  #forge(from: string, to: string, message: KvMessage): void {
    const kind = this.#draw(0, 3)
    const others = this.#network.connections.flatMap(({ a, b }) => (a === to ? [b] : b === to ? [a] : []))
    const workers = others.filter((peer) => peer !== GATEWAY && peer !== from)
    // Whoever promises what it does not hold can only be found out by what it computes.
    const liar = (to === GATEWAY ? undefined : workers[this.#draw(0, workers.length)]) ?? 'stranger'
    if (kind === 0) this.#hand(liar, to, message)
    // A plan of the gateway is a plan.
    else if (kind === 1 && message.type !== 'kv-plan')
      this.#hand(from, to, { ...message, session: sessionId('another') })
    else if (kind <= 2) this.#hand(from, to, { ...message, epoch: Math.max(0, message.epoch - 1) })
    else this.#hand(liar, to, { ...message, epoch: message.epoch + 7 })
  }

  /** What arrived undamaged must not come again under the same plan, whatever breaks. */
  #count(to: string, block: KvMessage & { readonly type: 'kv-block' }): void {
    const key = arrivalKey(to, block)
    if (this.#arrived.has(key) && !this.#refused.has(key))
      this.#fail(`block ${block.block} of layer ${block.layer} travels twice to ${to}`)
    this.#arrived.add(key)
  }

  #post(from: string, to: string, message: KvMessage): void {
    if (this.options.wire) assertDecodable(message, defaultWireLimits)
    this.#network.send(from, to, message)
  }

  #send(source: Source, event: SenderEvent): void {
    if (!source.alive) return
    for (const effect of source.sender.onEvent(event, this.#queue.nowMs)) this.#performSender(source, effect)
  }

  #performSender(source: Source, effect: SenderEffect): void {
    switch (effect.type) {
      case 'send':
        this.#post(source.peer, effect.peer, effect.message)
        break
      case 'begin':
        source.planned = true
        source.released = false
        for (const [layer, end] of source.computed) {
          this.#send(source, { type: 'computed', session, layers: { first: layer, end: layer + 1 }, end })
        }
        if (source.computed.get(this.#layers - 1) === this.shape.length) this.#sendGuard(source)
        break
      case 'encode': {
        const { type: _, ...rest } = effect
        if ((source.computed.get(effect.layer) ?? 0) < this.#end(effect.block)) {
          this.#fail(`${source.peer} would send block ${effect.block} of layer ${effect.layer} uncomputed`)
        }
        if (effect.level < this.#levels[effect.layer]! && this.startedAt === null) {
          this.#fail(`${source.peer} refines what is not started from`)
        }
        const answer: SenderEvent = {
          type: 'encoded',
          ...rest,
          basis: 0,
          bytes: content(effect, effect.level),
        }
        this.#queue.after(this.#draw(0, 5) / 10, () => this.#send(source, answer))
        break
      }
      case 'release':
        source.released = true
        if (this.startedAt === null && this.#isParty(source.peer)) {
          this.#fail(`${source.peer} lets go before the decode ring has the session`)
        }
        break
      case 'aborted':
        source.released = true
        if (effect.outcome === 'keep' && this.outcome !== 'prefill') {
          this.#fail(`${source.peer} goes on by itself although the outcome is ${this.outcome}`)
        }
    }
  }

  #end(block: number): number {
    return Math.min(this.shape.length, (block + 1) * this.shape.blockTokens)
  }

  #isParty(peer: string): boolean {
    return this.#senders.some((route) => route.peer === peer)
  }

  #receive(sink: Sink, event: ReceiverEvent): void {
    if (!sink.alive) return
    for (const effect of sink.receiver.onEvent(event, this.#queue.nowMs)) this.#performReceiver(sink, effect)
  }

  #performReceiver(sink: Sink, effect: ReceiverEffect): void {
    switch (effect.type) {
      case 'send':
        this.#post(sink.peer, effect.peer, effect.message)
        break
      case 'look-up': {
        const { plan } = effect
        const blocks: (KvAddress & { level: number })[] = []
        // Somebody asked something that begins alike before.
        const known = this.#chance(0.3) ? this.#draw(0, blocksOf(this.shape)) : 0
        for (let block = 0; block < known; block++) {
          for (let layer = sink.layers.first; layer < sink.layers.end; layer++) {
            for (let part = 0; part < this.shape.parts; part++) {
              blocks.push({ block, layer, part, level: 0 })
              this.#write(sink, { block, layer, part }, 0, content({ block, layer, part }, 0))
            }
          }
        }
        const answer: ReceiverEvent = { type: 'found', session: plan.session, epoch: plan.epoch, blocks }
        this.#queue.after(this.#draw(0, 30) / 10, () => this.#receive(sink, answer))
        break
      }
      case 'write': {
        const { block, layer, part, level, bytes, epoch } = effect.block
        this.#queue.after((this.#draw(0, 10) / 10) * this.#slowness, () => {
          if (!sink.alive || sink.over) return
          const stored = !sink.closed && (!this.options.faults || !this.#chance(0.01))
          if (stored) this.#write(sink, { block, layer, part }, level, bytes)
          else this.#refused.add(arrivalKey(sink.peer, { block, layer, part, level, epoch }))
          this.#receive(sink, { type: 'written', session, epoch, block, layer, part, level, stored })
        })
        break
      }
      case 'close-link':
        this.#accused.push(`${sink.peer} accuses ${effect.peer}: ${effect.reason}`)
        break
      case 'over':
        sink.over = true
    }
  }

  #write(sink: Sink, address: KvAddress, level: number, bytes: Uint8Array): void {
    const key = keyOf(address)
    const before = sink.pages.get(key)
    if (before !== undefined && before.level < level) return
    const running = this.#running
    const used = running !== null && this.#receivers.some(({ peer }) => peer === sink.peer)
    if (used && this.#end(address.block) > running.position && before === undefined) {
      this.#fail(`${sink.peer} writes block ${address.block} over what the decode ring computes`)
    }
    sink.pages.set(key, { level, bytes })
  }

  #coordinate(event: CoordinatorEvent): void {
    const { nowMs } = this.#queue
    for (const effect of this.#coordinator.onEvent(event, nowMs)) this.#performCoordinator(effect, nowMs)
  }

  #performCoordinator(effect: CoordinatorEffect, nowMs: number): void {
    switch (effect.type) {
      case 'send':
        if (effect.message.type === 'kv-plan') {
          const { layers, levels } = effect.message
          this.#levels.splice(layers.first, levels.length, ...levels)
        }
        this.#post(GATEWAY, effect.peer, effect.message)
        break
      case 'judge': {
        this.#guardTries += 1
        const passed = this.#guardTries > 1 || this.#chance(0.6)
        const worst = Math.max(...this.#levels)
        const levels = passed ? null : this.#levels.map((level) => (level === worst ? level - 1 : level))
        this.#queue.after(this.#draw(1, 5), () =>
          this.#coordinate({ type: 'judged', epoch: effect.epoch, passed, levels }),
        )
        break
      }
      case 'start':
        this.#queue.after(this.#draw(0, 10), () => this.#startDecode(effect.epoch, effect.position))
        break
      case 'decided':
        this.#decisions += 1
        this.outcome = effect.outcome
        if (effect.outcome !== 'decode') this.#running = null
        this.log.push(`decided ${effect.outcome}: ${effect.reason}`)
        break
      case 'refined':
        if (this.refined !== null) this.#fail('it is refined twice')
        this.refined = { complete: effect.complete, reason: effect.reason }
        this.log.push(`${nowMs} ms: refined ${effect.complete}: ${effect.reason}`)
        if (effect.complete) this.#checkRefined()
        break
      case 'over':
        this.#over = true
    }
  }

  /** Whoever decodes still has its pages: all of them are what they were to become. */
  #checkRefined(): void {
    for (const { peer } of this.#receivers) {
      const sink = this.#sinks.get(peer)!
      for (const [key, { level }] of sink.pages) {
        if (level > this.#enhanceTo!)
          this.#fail(`${peer} has ${key} at level ${level} and says it is refined`)
      }
      this.#checkPages(sink, this.shape.length)
    }
  }

  /** The decode ring begins, if all of its machines still are those that promised. */
  #startDecode(epoch: number, position: number): void {
    if (this.#coordinator.epoch !== epoch || this.#coordinator.phase !== 'starting') return
    const sinks = this.#receivers.map(({ peer }) => this.#sinks.get(peer)!)
    if (sinks.some(({ alive }) => !alive)) return
    for (const sink of sinks) this.#checkPages(sink, position)
    this.#running = { epoch, position }
    this.#queue.after(this.#draw(0, 10), () => {
      if (this.#running?.epoch !== epoch || this.#coordinator.phase !== 'starting') return
      this.startedAt = position
      this.#coordinate({ type: 'started', epoch })
    })
  }

  #checkPages(sink: Sink, position: number): void {
    const blocks = Math.ceil(position / this.shape.blockTokens)
    const whole = position === this.shape.length
    for (let block = 0; block < blocks; block++) {
      for (let layer = sink.layers.first; layer < sink.layers.end; layer++) {
        for (let part = 0; part < this.shape.parts; part++) {
          const found = sink.pages.get(keyOf({ block, layer, part }))
          const where = `${sink.peer} begins at ${position} with block ${block} of layer ${layer}`
          if (found === undefined) this.#fail(`${where} missing`)
          else if (!whole && found.level > 0) this.#fail(`${where} unjudged at level ${found.level}`)
          else if (found.level > this.#levels[layer]!) this.#fail(`${where} at level ${found.level}`)
          else if (crc32(found.bytes) !== crc32(content({ block, layer, part }, found.level))) {
            this.#fail(`${where} wrong`)
          }
        }
      }
    }
  }

  #drawFaults(): void {
    for (let n = this.#draw(1, 6); n > 0; n--) {
      const atMs = this.#random.next() * this.#draw(5, FAULTS_END_MS)
      const kind = this.#draw(0, 5)
      this.#queue.after(atMs, () => {
        if (kind <= 2) this.#killLink()
        else if (kind <= 4) this.#killSource()
        else this.#killSink()
      })
    }
    if (this.options.enhance) this.#drawHindrances()
    if (this.#chance(0.05)) {
      this.#queue.after(this.#draw(0, 100), () => this.#coordinate({ type: 'cancel' }))
    }
  }

  /** Pages are wanted for others, in either ring, at any time after the start. */
  #drawHindrances(): void {
    const atMs = this.#random.next() * FAULTS_END_MS
    const kind = this.#draw(0, 3)
    const again = (): void => {
      if (this.startedAt === null) {
        if (this.#queue.nowMs < END_MS / 2) this.#queue.after(atMs, again)
        return
      }
      if (kind === 0) this.#coordinate({ type: 'senders-changed', senders: null })
      else if (kind === 1) this.#coordinate({ type: 'cancel' })
      else if (kind === 2) this.#closeSink()
    }
    this.#queue.after(atMs, again)
  }

  #closeSink(): void {
    const route = this.#receivers[this.#draw(0, this.#receivers.length - 1)]!
    const sink = this.#sinks.get(route.peer)!
    if (!sink.alive) return
    sink.closed = true
    this.#receive(sink, { type: 'closed', session })
  }

  #killLink(): void {
    const open: readonly Connection[] = this.#network.connections
    const link = open[this.#draw(0, open.length - 1)]
    if (link === undefined) return
    this.kills += 1
    this.log.push(`${this.#queue.nowMs} ms: link ${link.a} - ${link.b} is killed`)
    link.kill()
  }

  #die(peer: string): void {
    this.changes += 1
    this.log.push(`${this.#queue.nowMs} ms: ${peer} dies`)
    for (const link of this.#network.connections) if (link.a === peer || link.b === peer) link.kill()
  }

  #killSource(): void {
    const route = this.#senders[this.#draw(0, this.#senders.length - 1)]!
    const source = this.#sources.get(route.peer)!
    if (!source.alive) return
    source.alive = false
    this.#die(source.peer)
    const replaced = this.#chance(0.6)
    this.#queue.after(this.#draw(1, 50), () => {
      if (!replaced || this.#sendersGone) {
        this.#sendersGone = true
        this.#coordinate({ type: 'senders-changed', senders: null })
        return
      }
      const fresh = { peer: `p${this.#names++}`, layers: route.layers }
      this.#senders = this.#senders.map((other) => (other.peer === route.peer ? fresh : other))
      const added = this.#addSource(fresh)
      this.#connect(GATEWAY, fresh.peer)
      this.#linkSinks(added)
      this.#coordinate({ type: 'senders-changed', senders: this.#senders })
    })
  }

  #killSink(): void {
    const route = this.#receivers[this.#draw(0, this.#receivers.length - 1)]!
    const sink = this.#sinks.get(route.peer)!
    if (!sink.alive) return
    sink.alive = false
    this.#die(sink.peer)
    const replaced = this.#chance(0.7)
    this.#queue.after(this.#draw(1, 50), () => {
      if (this.startedAt !== null) return
      this.#running = null
      if (!replaced) {
        this.#coordinate({ type: 'receivers-changed', receivers: null })
        return
      }
      const fresh = { peer: `d${this.#names++}`, layers: route.layers }
      this.#receivers = this.#receivers.map((other) => (other.peer === route.peer ? fresh : other))
      this.#addSink(fresh)
      this.#connect(GATEWAY, fresh.peer)
      for (const source of this.#sources.values()) {
        if (commonLayers(source.layers, fresh.layers) !== null) this.#connect(source.peer, fresh.peer)
      }
      this.#coordinate({ type: 'receivers-changed', receivers: this.#receivers })
    })
  }

  #tick(): void {
    this.#queue.after(TICK_MS, () => {
      for (const source of this.#sources.values()) this.#send(source, { type: 'tick' })
      for (const sink of this.#sinks.values()) this.#receive(sink, { type: 'tick' })
      this.#coordinate({ type: 'tick' })
      // A session whose answers are refined is over some time.
      if (this.#queue.nowMs > 5_000) this.#coordinate({ type: 'cancel' })
      if (!this.#settled) this.#tick()
    })
  }

  get #settled(): boolean {
    if (!this.#over) return false
    const busy = [...this.#sources.values()].some(({ alive, sender }) => alive && sender.open > 0)
    return !busy && ![...this.#sinks.values()].some(({ alive, receiver }) => alive && receiver.open > 0)
  }

  #check(): void {
    for (const source of this.#sources.values()) {
      for (const sink of this.#sinks.values()) {
        const bytes = source.sender.bytesInFlight(sink.peer)
        if (bytes > WINDOW_BYTES)
          this.#fail(`${bytes} bytes are under way from ${source.peer} to ${sink.peer}`)
        const held = sink.receiver.bytesHeld(source.peer)
        if (held > 2 * WINDOW_BYTES || held < 0)
          this.#fail(`${sink.peer} holds ${held} bytes of ${source.peer}`)
      }
      const needed = this.outcome === null && !this.#sendersGone
      if (needed && source.alive && source.released && this.#isParty(source.peer)) {
        this.#fail(`${source.peer} has let go of a session that is not handed over`)
      }
    }
    if (this.#decisions > 1) this.#fail(`it was decided ${this.#decisions} times`)
    const decided = this.outcome === 'decode'
    if (decided !== (this.#coordinator.owner === 'decode')) this.#fail('owner and outcome differ')
    if (decided && this.startedAt === null) this.#fail('the decode ring owns what it never began')
  }

  #checkEnd(): void {
    if (!this.#over) this.#fail(`the coordinator never ends; it is ${this.#coordinator.phase}`)
    if (this.#decisions !== 1) this.#fail(`it was decided ${this.#decisions} times`)
    if (!this.#settled) this.#fail('somebody still holds the session')
    if (this.options.faults) return
    if (this.outcome !== 'decode') this.#fail(`without a fault it ends as ${this.outcome}`)
    const coarse = this.#levels.some((level) => level > (this.#enhanceTo ?? level))
    if (coarse && this.refined?.complete !== true) this.#fail('without a fault not everything is refined')
  }
}

const roleOf = (peer: string): 'gateway' | 'worker' => (peer === GATEWAY ? 'gateway' : 'worker')

const keyOf = ({ block, layer, part }: KvAddress): string => `${block}.${layer}.${part}`

const arrivalKey = (
  to: string,
  block: KvAddress & { readonly epoch: number; readonly level: number },
): string => [to, block.epoch, block.level, keyOf(block)].join()

/** What a block is, at a level: coarser is shorter. */
function content({ block, layer, part }: KvAddress, level: number): Uint8Array {
  const length = MAX_BLOCK_BYTES - level * 12 - ((block * 5 + layer * 3 + part) % 9)
  return Uint8Array.from({ length }, (_, at) => block * 31 + layer * 17 + part * 7 + level * 3 + at)
}

function damage(block: KvMessage & { readonly type: 'kv-block' }): KvMessage {
  const bytes = block.bytes.slice()
  bytes[bytes.length >> 1]! ^= 0x10
  return { ...block, bytes }
}
