import type { Duplex } from 'node:stream'
import { connect, type TLSSocket } from 'node:tls'
import { askCircuit, dialBy, type HttpProxy, LinkError, parsePeerAddress, pskTls } from '@deos/transport'
import { FrameChannel, PeerChannelError } from './frame-channel.ts'
import { type PeerRequest, peerAnswerSchema } from './peer-messages.ts'

/** Another machine, and what lets this one talk to it. */
export interface PeerAccess {
  readonly address: string
  readonly ticket: string
  /** 32 bytes in hexadecimal digits. */
  readonly ticketKey: string
  /** Through which it is dialled; `null` and absent dial directly. */
  readonly proxy?: HttpProxy | null
}

const CONNECT_MS = 5_000
const SILENCE_MS = 10_000

/** A connection to another machine's listener; requests go one at a time. */
export class PeerClient {
  readonly #channel: FrameChannel

  private constructor(socket: TLSSocket) {
    this.#channel = new FrameChannel(socket)
  }

  /** @throws PeerChannelError if it cannot be reached or refuses the ticket; the signal's reason */
  static async open(access: PeerAccess, signal: AbortSignal): Promise<PeerClient> {
    signal.throwIfAborted()
    const { address, proxy = null } = access
    const { at, circuit } = parsePeerAddress(address)
    const dial = dialBy(proxy)
    try {
      const limits = { timeoutMs: CONNECT_MS, signal }
      const stream =
        circuit === null
          ? await dial(at, limits)
          : (await askCircuit(dial, at, circuit, CONNECT_MS, signal)).stream
      return await PeerClient.#secure(access, stream, signal)
    } catch (cause) {
      signal.throwIfAborted()
      if (!(cause instanceof LinkError)) throw cause
      throw new PeerChannelError(`at ${address} failed: ${cause.message}`, { cause })
    }
  }

  static #secure(
    { address, ticket, ticketKey }: PeerAccess,
    stream: Duplex,
    signal: AbortSignal,
  ): Promise<PeerClient> {
    return new Promise((resolve, reject) => {
      const psk = Buffer.from(ticketKey, 'hex')
      const socket = connect({
        socket: stream,
        ...pskTls,
        // The key proves who is there; there is no certificate.
        checkServerIdentity: () => undefined,
        pskCallback: () => ({ psk, identity: ticket }),
      })
      const settle = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', abort)
      }
      const fail = (error: unknown) => {
        settle()
        socket.destroy()
        reject(error)
      }
      const abort = () => fail(signal.reason)
      const timer = setTimeout(
        () => fail(new PeerChannelError(`${address} did not come about within ${CONNECT_MS} ms`)),
        CONNECT_MS,
      )
      signal.addEventListener('abort', abort, { once: true })
      socket.on('error', (cause) =>
        fail(new PeerChannelError(`at ${address} failed: ${cause.message}`, { cause })),
      )
      socket.once('close', () => fail(new PeerChannelError(`at ${address} was closed`)))
      socket.once('secureConnect', () => {
        settle()
        socket.setNoDelay(true)
        socket.setTimeout(SILENCE_MS, () => socket.destroy())
        resolve(new PeerClient(socket))
      })
    })
  }

  get isOpen(): boolean {
    return this.#channel.isOpen
  }

  close(): void {
    this.#channel.close()
  }

  /** @throws PeerChannelError */
  async ping(): Promise<void> {
    await this.#ask({ type: 'ping' })
  }

  /** Sends bytes that the other side throws away; resolves when it has them. @throws PeerChannelError */
  async give(payload: Uint8Array): Promise<void> {
    await this.#ask({ type: 'take' }, payload)
  }

  /** @throws PeerChannelError if the machine does not hold all of it, or is lost */
  async *read(digest: string, range: { first: number; end: number }): AsyncGenerator<Uint8Array> {
    await this.#channel.write({ type: 'read', digest, ...range } satisfies PeerRequest)
    for (;;) {
      const { answer, payload } = await this.#next()
      if (answer.type === 'done') return
      yield payload
    }
  }

  async #ask(request: PeerRequest, payload?: Uint8Array): Promise<void> {
    await this.#channel.write(request, payload)
    const { answer } = await this.#next()
    if (answer.type !== 'done') throw new PeerChannelError('brought bytes nobody asked for')
  }

  async #next() {
    const frame = await this.#channel.read()
    if (frame === null) throw new PeerChannelError('ended before an answer')
    const { data: answer } = peerAnswerSchema.safeParse(frame.header)
    if (answer === undefined) throw new PeerChannelError('brought an answer that is none')
    if (answer.type === 'problem') throw new PeerChannelError(`was refused something: ${answer.message}`)
    return { answer, payload: frame.payload }
  }
}
