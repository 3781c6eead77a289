import type { Duplex } from 'node:stream'
import { LinkError } from '../link-error.ts'
import { type LinkEstimates, LinkMeter, type LinkPath } from '../link-estimates.ts'
import type { LinkLimits } from '../link-limits.ts'
import { LinkPulse } from '../link-pulse.ts'
import { systemTimers } from '../timers.ts'
import { type ChunkKind, ChunkReader } from './chunk.ts'
import { type Lane, Outbox } from './outbox.ts'
import { Pacer } from './pacer.ts'
import { type ChannelCarrier, type CloseCode, closeCodes, PeerChannel } from './peer-channel.ts'
import type { SecureStream } from './secure-stream.ts'

/** Most bytes a stream may bring before its reader has taken them. */
const WINDOW_BYTES = 8 * 2 ** 20
/** What is handed to the socket at once. */
const SOCKET_BYTES = 128 * 1024
/** A peer that does not read what it asks for. */
const MOST_CONTROL_BYTES = 1 << 20
const MOST_CHANNELS = 256
const MOST_PINGS = 16
const LINGER_MS = 2_000
/** An end that no link uses any more is closed after so long. */
const IDLE_MS = 30_000
const LONGEST_REASON = 300
const PROOF_BYTES = 32
/** A ring's name with a guest's before it. */
const LONGEST_RING = 300

export interface ConnectionOwner {
  /**
   * The peer opens a link of the ring.
   *
   * @returns proof of this end, or why there will be no such link
   */
  onOpen(channel: PeerChannel, ring: string, proof: Buffer): Buffer | CloseCode
  /** @returns whether the acceptor's proof is good */
  isAccepted(channel: PeerChannel, proof: Buffer): boolean
  onClosed(reason: string): void
  onPunch?(payload: Buffer): void
}

export interface ConnectionOptions {
  readonly side: 'dialler' | 'acceptor'
  readonly limits: LinkLimits
  readonly path: LinkPath
  /** For people. */
  readonly name: string
}

/** An authenticated connection to another machine's process, which many links share. */
export class PeerConnection implements ChannelCarrier {
  readonly peerKey: string
  readonly binding: Buffer
  readonly #channels = new Map<number, PeerChannel>()
  readonly #outbox = new Outbox()
  readonly #pacer = new Pacer()
  readonly #meter = new LinkMeter()
  readonly #pulse: LinkPulse
  readonly #pings = new Map<number, number>()
  readonly #reader: ChunkReader
  readonly #touched = new Set<PeerChannel>()
  #stream: Duplex
  #incoming: Duplex
  #next: Duplex | null = null
  #hasMoved = false
  #nextChannel: number
  #highestOpened = 0
  #pingNumber = 0
  #isPumping = false
  #end: string | null = null
  #path: LinkPath
  #cancelIdle: () => void = () => {}
  #hasCarried = false
  /** Resolves when the socket is gone. */
  readonly closed: Promise<void>
  #resolveClosed: () => void = () => {}
  /** Resolves when a link's ring was proved on it, or it has ended. */
  readonly proven: Promise<void>
  #resolveProven: () => void = () => {}

  constructor(
    secure: SecureStream,
    private readonly options: ConnectionOptions,
    private readonly owner: ConnectionOwner,
  ) {
    this.peerKey = secure.peerKey
    this.binding = secure.binding
    this.#path = options.path
    this.#nextChannel = options.side === 'dialler' ? 1 : 2
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    this.proven = new Promise((resolve) => {
      this.#resolveProven = resolve
    })
    this.#reader = new ChunkReader({
      onData: (channel, priority, bytes) => this.#data(channel, priority, bytes),
      onControl: (kind, channel, priority, payload) => this.#control(kind, channel, priority, payload),
    })
    this.#stream = secure.stream
    this.#incoming = secure.stream
    this.#pulse = new LinkPulse(
      options.limits,
      systemTimers,
      () => this.#ping(),
      (silentMs) => this.cut(`${options.name} has been silent for ${Math.round(silentMs)} ms`),
    )
    this.#attach(secure.stream)
    this.#read(secure.stream)
    this.#ping()
    this.#watchIdle()
  }

  get isOpen(): boolean {
    return this.#end === null
  }

  get path(): LinkPath {
    return this.#path
  }

  get estimates(): LinkEstimates {
    return this.#meter.read()
  }

  get channels(): number {
    return this.#channels.size
  }

  /** @throws LinkError if the connection has ended */
  open(ring: string, prove: (channel: number) => Buffer): PeerChannel {
    if (this.#end !== null) throw new LinkError('LINK_CLOSED', `The connection ended (${this.#end}).`)
    const channel = new PeerChannel(this.#nextChannel, WINDOW_BYTES, this)
    this.#nextChannel += 2
    this.#channels.set(channel.id, channel)
    this.#watchIdle()
    this.#command('open', channel.id, Buffer.concat([prove(channel.id), Buffer.from(ring)]))
    return channel
  }

  /** Tells the peer something about finding a better path. */
  punch(payload: Buffer): void {
    this.#command('punch', 0, payload)
  }

  /**
   * Goes on over another stream to the same machine; nothing is lost or doubled. Both ends do it: what each has begun to
   * send over the old one it finishes there.
   */
  move(next: SecureStream, path: LinkPath): void {
    if (this.#end !== null || this.#next !== null || next.peerKey !== this.peerKey) {
      next.stream.destroy()
      return
    }
    this.#next = next.stream
    this.#attach(next.stream)
    this.#command('move', 0, Buffer.alloc(0))
    this.#pumpAll()
    this.#stream = next.stream
    this.#path = path
    this.#meter.reset()
    this.#pacer.reset()
    if (this.#hasMoved) this.#takeNext()
    this.#ping()
  }

  /** Ends it and all its links at once. */
  cut(reason: string): void {
    if (this.#end !== null) return
    this.#shut(reason)
    this.#stream.destroy()
    this.#incoming.destroy()
    this.#next?.destroy()
  }

  /** Ends it when what was sent is under way. */
  finish(reason: string): void {
    if (this.#end !== null) return
    for (const channel of [...this.#channels.values()]) channel.cut(reason)
    this.#pumpAll()
    const streams = [this.#stream, this.#incoming]
    this.#shut(reason)
    for (const stream of streams) stream.end()
    const timer = setTimeout(() => {
      for (const stream of streams) stream.destroy()
    }, LINGER_MS)
    void this.closed.then(() => clearTimeout(timer))
  }

  // What channels ask for.

  now(): number {
    return systemTimers.now()
  }

  send(lane: Lane): void {
    this.#outbox.list(lane)
    this.#schedule()
  }

  credit(channel: number, priority: number, sizeBytes: number): void {
    const payload = Buffer.allocUnsafe(4)
    payload.writeUInt32LE(sizeBytes)
    this.#command('credit', channel, payload, priority)
  }

  transferred(sizeBytes: number, durationMs: number): void {
    this.#meter.transfer(sizeBytes, durationMs - (this.#meter.shortestMs ?? 0))
  }

  close(channel: PeerChannel, reason: string, code: CloseCode, isFlushed: boolean): void {
    if (channel.state === 'closed') return
    if (!isFlushed || channel.queuedBytes === 0) {
      this.#endChannel(channel, reason, code, true)
      return
    }
    if (channel.state === 'closing') return
    channel.state = 'closing'
    const timer = setTimeout(() => this.#endChannel(channel, reason, code, true), LINGER_MS)
    const { owner } = channel
    channel.owner = {
      onAccepted: () => {},
      onData: () => {},
      onSent: () => {
        if (channel.queuedBytes === 0) this.#endChannel(channel, reason, code, true)
      },
      onClose: (why, because) => {
        clearTimeout(timer)
        owner?.onClose(why === 'the peer closed the link' ? reason : why, because)
      },
    }
  }

  // What comes.

  #attach(stream: Duplex): void {
    stream.on('drain', () => this.#pump())
    stream.on('error', () => {})
    stream.on('close', () => {
      if (stream === this.#stream || stream === this.#incoming) this.#lost(stream)
    })
    stream.on('end', () => stream.end())
  }

  /** The path is gone, without a word, unless this end has just left it. */
  #lost(stream: Duplex): void {
    this.#resolveClosed()
    const { errored } = stream
    if (this.#end === null) this.#shut(errored?.message ?? 'the peer closed the link')
    this.#next?.destroy()
  }

  #read(stream: Duplex): void {
    this.#incoming = stream
    stream.on('data', (bytes: Buffer) => {
      if (this.#end !== null) return
      this.#pulse.heard()
      try {
        this.#reader.push(bytes)
      } catch (error) {
        if (!(error instanceof LinkError)) throw error
        this.cut(error.message)
      }
      for (const channel of this.#touched) channel.flushCredit()
      this.#touched.clear()
    })
    stream.resume()
  }

  #data(id: number, priority: number, bytes: Uint8Array): void {
    const channel = this.#channels.get(id)
    // It may have been closed here while this was under way.
    if (channel === undefined || this.#end !== null) return
    // Nothing of the peer's is taken before its proof: what it says it could say without the ring's secret.
    if (channel.state === 'opening') {
      this.cut(`${this.options.name} sent data on link ${id} before it was accepted`)
      return
    }
    if (!channel.received(priority, bytes)) {
      this.cut(`${this.options.name} sent more than it may`)
      return
    }
    this.#touched.add(channel)
  }

  #control(kind: Exclude<ChunkKind, 'data'>, id: number, priority: number, payload: Buffer): void {
    if (this.#end !== null) return
    switch (kind) {
      case 'open':
        this.#opened(id, payload)
        return
      case 'accept':
        this.#accepted(id, payload)
        return
      case 'credit':
        this.#credited(id, priority, payload)
        return
      case 'close':
        this.#closedByPeer(id, payload)
        return
      case 'ping':
        this.#command('pong', 0, payload.subarray(0, 4))
        return
      case 'pong':
        this.#ponged(payload)
        return
      case 'move':
        this.#hasMoved = true
        this.#incoming.pause()
        if (this.#next !== null) this.#takeNext()
        return
      case 'punch':
        this.owner.onPunch?.(payload)
        return
    }
  }

  #opened(id: number, payload: Buffer): void {
    const isTheirs = id % 2 === (this.options.side === 'dialler' ? 0 : 1)
    const ring = payload.subarray(PROOF_BYTES).toString()
    if (!isTheirs || id <= this.#highestOpened || ring.length === 0 || ring.length > LONGEST_RING) {
      this.cut(`${this.options.name} opened a link that cannot be`)
      return
    }
    this.#highestOpened = id
    const channel = new PeerChannel(id, WINDOW_BYTES, this)
    this.#channels.set(id, channel)
    this.#watchIdle()
    if (this.#channels.size > MOST_CHANNELS) {
      channel.cut('too many links', 'full')
      return
    }
    const answer = this.owner.onOpen(channel, ring, payload.subarray(0, PROOF_BYTES))
    if (typeof answer === 'string') {
      channel.cut('the link is not wanted', answer)
      return
    }
    this.#carries()
    channel.state = 'open'
    this.#command('accept', id, answer)
  }

  #accepted(id: number, payload: Buffer): void {
    const channel = this.#channels.get(id)
    if (channel === undefined || channel.state === 'closing') return
    if (channel.state !== 'opening' || id % 2 !== this.#nextChannel % 2) {
      this.cut(`${this.options.name} accepted what was not asked`)
      return
    }
    if (!this.owner.isAccepted(channel, payload)) {
      channel.cut('the peer did not prove the ring secret', 'unauthenticated')
      return
    }
    channel.state = 'open'
    this.#carries()
    channel.owner?.onAccepted()
  }

  #carries(): void {
    this.#hasCarried = true
    this.#resolveProven()
  }

  #credited(id: number, priority: number, payload: Buffer): void {
    const channel = this.#channels.get(id)
    if (channel === undefined) return
    const sizeBytes = payload.length === 4 ? payload.readUInt32LE(0) : 0
    const lane = channel.lanes[priority]!
    if (sizeBytes === 0 || sizeBytes > lane.openBytes) {
      this.cut(`${this.options.name} credited ${sizeBytes} bytes of ${lane.openBytes}`)
      return
    }
    if (priority > 0)
      this.#pacer.delivered(sizeBytes, this.now(), this.#meter.shortestMs, !this.#outbox.hasBulk)
    channel.credited(priority, sizeBytes)
    this.send(lane)
  }

  #closedByPeer(id: number, payload: Buffer): void {
    const channel = this.#channels.get(id)
    const code = closeCodes[payload[0] ?? 0] ?? 'closed'
    if (channel !== undefined) this.#endChannel(channel, 'the peer closed the link', code, false)
  }

  #ponged(payload: Buffer): void {
    const number = payload.length === 4 ? payload.readUInt32LE(0) : -1
    const sentMs = this.#pings.get(number)
    if (sentMs === undefined) return
    this.#pings.delete(number)
    this.#meter.roundTrip(this.now() - sentMs)
  }

  // What goes.

  #ping(): void {
    if (this.#end !== null) return
    this.#pingNumber = (this.#pingNumber + 1) % 2 ** 32
    const payload = Buffer.allocUnsafe(4)
    payload.writeUInt32LE(this.#pingNumber)
    this.#pings.set(this.#pingNumber, this.now())
    const [oldest] = this.#pings.keys()
    if (this.#pings.size > MOST_PINGS && oldest !== undefined) this.#pings.delete(oldest)
    this.#pulse.sent()
    this.#command('ping', 0, payload)
  }

  #command(kind: ChunkKind, channel: number, payload: Buffer, priority = 0): void {
    if (this.#end !== null) return
    this.#outbox.control(kind, channel, payload, priority)
    if (this.#outbox.controlBytes > MOST_CONTROL_BYTES) {
      this.cut(`${this.options.name} does not read what it asks for`)
      return
    }
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    process.nextTick(() => this.#pump())
  }

  #pump(): void {
    this.#isPumping = false
    if (this.#end !== null || !this.#stream.writable) return
    this.#stream.cork()
    while (this.#stream.writableLength < SOCKET_BYTES && this.#writeNext()) {}
    this.#stream.uncork()
  }

  /** All that may not go another way. */
  #pumpAll(): void {
    if (!this.#stream.writable) return
    this.#stream.cork()
    for (let chunk = this.#outbox.takeControl(); chunk !== null; chunk = this.#outbox.takeControl())
      this.#stream.write(chunk)
    this.#stream.uncork()
  }

  #writeNext(): boolean {
    const control = this.#outbox.takeControl()
    if (control !== null) {
      this.#stream.write(control)
      return true
    }
    const room = this.#pacer.budgetBytes(this.#meter.shortestMs) > this.#pacer.inFlightBytes
    const lane = this.#outbox.nextLane(room)
    if (lane === null) return false
    const { parts, sizeBytes } = lane.take()
    if (lane.priority > 0) this.#pacer.sent(sizeBytes, this.now())
    for (const part of parts) this.#stream.write(part)
    this.#outbox.list(lane)
    this.#channels.get(lane.channel)?.owner?.onSent()
    return true
  }

  // Ends.

  #endChannel(channel: PeerChannel, reason: string, code: CloseCode, isOwn: boolean): void {
    if (channel.state === 'closed') return
    channel.state = 'closed'
    this.#channels.delete(channel.id)
    for (const lane of channel.lanes) {
      lane.clear()
      if (lane.priority > 0) this.#pacer.forget(lane.openBytes)
    }
    if (isOwn) {
      const text = Buffer.from(reason.slice(0, LONGEST_REASON))
      this.#command('close', channel.id, Buffer.concat([Buffer.from([closeCodes.indexOf(code)]), text]))
    }
    setImmediate(() => channel.owner?.onClose(reason, code))
    this.#schedule()
    this.#watchIdle()
  }

  #shut(reason: string): void {
    this.#end = reason
    this.#pulse.stop()
    this.#cancelIdle()
    for (const channel of [...this.#channels.values()]) this.#endChannel(channel, reason, 'closed', false)
    this.#cancelIdle()
    this.#resolveProven()
    this.owner.onClosed(reason)
  }

  /** A peer that opens no link that it may open goes sooner. */
  #watchIdle(): void {
    this.#cancelIdle()
    if (this.#end !== null || (this.#channels.size > 0 && this.#hasCarried)) return
    const afterMs = this.#hasCarried ? IDLE_MS : this.options.limits.handshakeTimeoutMs
    this.#cancelIdle = systemTimers.after(afterMs, () => {
      if (!this.#hasCarried || this.#channels.size === 0) this.finish('no link uses the connection')
    })
  }

  #takeNext(): void {
    const old = this.#incoming
    const next = this.#next!
    this.#next = null
    this.#hasMoved = false
    this.#read(next)
    old.removeAllListeners('data')
    old.resume()
    old.end()
    const timer = setTimeout(() => old.destroy(), LINGER_MS)
    old.once('close', () => clearTimeout(timer))
  }
}
