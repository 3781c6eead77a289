import type { Duplex } from 'node:stream'
import type { Random } from '@deos/domain'
import type { Dial } from '../dial.ts'
import { LinkError } from '../link-error.ts'
import type { MachineKey } from '../peer/machine-key.ts'
import { parsePeerAddress } from '../peer/peer-address.ts'
import { secureStream } from '../peer/secure-stream.ts'
import { every, systemTimers } from '../timers.ts'
import { NOBODY, PREAMBLE, readLine } from './preamble.ts'

/** A stream to another machine through a relay. */
export interface Circuit {
  readonly stream: Duplex
  /** The port here, and the other end's address as the relay sees it. */
  readonly localPort: number | null
  readonly peerAt: string
}

/** Asks a relay for the machine that waits under the name. @throws LinkError */
export const askCircuit = (
  dial: Dial,
  relay: string,
  circuit: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Circuit> => openCircuit(dial, relay, `connect ${circuit}`, timeoutMs, signal)

async function openCircuit(
  dial: Dial,
  relay: string,
  request: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Circuit> {
  const stream = await dial(relay, { timeoutMs, signal, localPort: 0 })
  const { localPort = null } = stream as { localPort?: number }
  stream.write(`${PREAMBLE}${request}\n`)
  const line = await readLine(stream, timeoutMs, `The relay ${relay}`)
  const [verdict, , peerAt = ''] = line.split(' ')
  if (verdict === 'ok') return { stream, localPort, peerAt }
  stream.destroy()
  const code = line === `no ${NOBODY}` ? 'LINK_REFUSED' : 'LINK_UNREACHABLE'
  throw new LinkError(code, `The relay ${relay} made no circuit: ${line.slice(3)}.`)
}

export interface RelaySeatOptions {
  /** The relay: `host:port;key=…`. */
  readonly relay: string
  /** Name to wait under, the same after every interruption. */
  readonly circuit: string
  readonly key: MachineKey
  readonly dial: Dial
  readonly timeoutMs: number
  readonly random: Random
  readonly onCircuit: (circuit: Circuit) => void
  readonly onNote: (text: string) => void
}

const BEAT_MS = 10_000
const SILENCE_MS = 30_000
const FIRST_DELAY_MS = 200
const LONGEST_DELAY_MS = 10_000

/** A place at a relay where this machine waits for circuits; taken again whenever it is lost. */
export class RelaySeat {
  #control: Duplex | null = null
  #isStopped = false
  #failures = 0
  #cancel: () => void = () => {}

  constructor(private readonly options: RelaySeatOptions) {}

  /** Resolves when it is taken the first time. @throws LinkError if it cannot be had now */
  async start(): Promise<void> {
    await this.#take()
  }

  /** As `start`, but goes on trying if it cannot be had now. */
  begin(): void {
    this.#take().catch((error: unknown) => this.#again(error))
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel()
    this.#control?.destroy()
  }

  async #take(): Promise<void> {
    const { relay, circuit, key, dial, timeoutMs } = this.options
    const { at, key: expected } = parsePeerAddress(relay)
    const raw = await dial(at, { timeoutMs })
    const { stream } = await secureStream(raw, { key, side: 'dialler', expected, timeoutMs, name: at })
    stream.write(`wait ${circuit}\n`)
    const answer = await readLine(stream, timeoutMs, `The relay ${at}`)
    if (!answer.startsWith('ok ')) {
      stream.destroy()
      throw new LinkError('LINK_UNREACHABLE', `The relay ${at} has no place: ${answer.slice(3)}.`)
    }
    if (this.#isStopped) {
      stream.destroy()
      return
    }
    this.#failures = 0
    this.#control = stream
    this.#follow(stream, at)
  }

  #follow(stream: Duplex, at: string): void {
    let heardMs = systemTimers.now()
    let text = ''
    const stopBeating = every(systemTimers, BEAT_MS, () => {
      if (systemTimers.now() - heardMs > SILENCE_MS) stream.destroy()
      else stream.write('\n')
    })
    stream.on('data', (bytes: Buffer) => {
      heardMs = systemTimers.now()
      text += bytes.toString('latin1')
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      if (text.length > 1000) stream.destroy()
      for (const line of lines) {
        const [token] = line.split(' ')
        if (token) void this.#answer(token, at)
      }
    })
    stream.on('end', () => stream.end())
    stream.once('close', () => {
      stopBeating()
      this.#again(new LinkError('LINK_CLOSED', `The relay ${at} hung up.`))
    })
    stream.resume()
  }

  async #answer(token: string, at: string): Promise<void> {
    const { dial, timeoutMs, onCircuit, onNote } = this.options
    try {
      onCircuit(await openCircuit(dial, at, `accept ${token}`, timeoutMs))
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      onNote(error.message)
    }
  }

  #again(error: unknown): void {
    if (this.#isStopped) return
    if (!(error instanceof LinkError)) throw error
    const ceilingMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(20, this.#failures++))
    const delayMs = Math.round(ceilingMs * (0.5 + this.options.random.next() / 2))
    this.options.onNote(`${error.message} Again in ${delayMs} ms.`)
    this.#cancel = systemTimers.after(delayMs, () => {
      this.#take().catch((failure: unknown) => this.#again(failure))
    })
  }
}
