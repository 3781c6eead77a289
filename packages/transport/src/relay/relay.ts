import { randomBytes } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { HostQuota } from '../host-quota.ts'
import { LinkError, tooManyUnproven } from '../link-error.ts'
import type { MachineKey } from '../peer/machine-key.ts'
import { formatPeerAddress } from '../peer/peer-address.ts'
import { secureStream } from '../peer/secure-stream.ts'
import { formatTcpAddress } from '../tcp-address.ts'
import { systemTimers } from '../timers.ts'
import { ByteRate, splice } from './circuit.ts'
import { NOBODY, PREAMBLE, readLine } from './preamble.ts'

export interface RelayLimits {
  /** Names under which one machine waits: one for each of its stages. */
  readonly namesPerMachine: number
  readonly circuitsPerMachine: number
  /** Circuits that one address may ask for at once, unfinished ones included. */
  readonly circuitsPerAddress: number
  /** Of all circuits of one machine, both ways. */
  readonly bytesPerSecond: number
  /** A circuit without a byte is ended after so long; links say something every second. */
  readonly idleMs: number
  readonly handshakeMs: number
  /** Connections of one address that have not said yet what they want. */
  readonly handshakesPerAddress: number
  readonly maxConnections: number
}

export const defaultRelayLimits: RelayLimits = {
  namesPerMachine: 64,
  circuitsPerMachine: 256,
  circuitsPerAddress: 256,
  bytesPerSecond: 64 * 2 ** 20,
  idleMs: 30_000,
  handshakeMs: 10_000,
  handshakesPerAddress: 128,
  maxConnections: 4096,
}

export interface RelayOptions {
  readonly key: MachineKey
  readonly host: string
  readonly port: number
  /** Whether the machine with this key may wait here; asked again while it does, every ten seconds. */
  readonly isMember: (publicKey: string) => boolean
  readonly limits?: RelayLimits
  readonly onNote?: (text: string) => void
}

interface Machine {
  readonly key: string
  readonly names: Set<string>
  readonly rate: ByteRate
  circuits: number
}

interface Waiting {
  readonly machine: Machine
  readonly control: Duplex
}

interface Asked {
  readonly socket: Socket
  readonly machine: Machine
  readonly cancel: () => void
}

const NAME = /^[A-Za-z0-9_-]{16,64}$/
/** A machine that says nothing for so long is gone; it says something every ten seconds. */
const SILENCE_MS = 30_000
const TLS_HANDSHAKE = 0x16
/** Of answers to a machine, which are short: one that lets more of them lie does not read. */
const MOST_UNREAD_BYTES = 64 * 1024

const observed = ({ remoteAddress = '', remotePort = 0 }: Socket): string =>
  formatTcpAddress({ host: remoteAddress.replace(/^::ffff:/, ''), port: remotePort })

/**
 * Where machines that nobody can dial wait for those who want them. It passes on what the two ends encrypt between
 * themselves, and tells each the other's address as seen from outside, so that they may find a way of their own.
 */
export class Relay {
  readonly #server: Server
  readonly #limits: RelayLimits
  readonly #sockets = new Set<Socket>()
  readonly #machines = new Map<string, Machine>()
  readonly #names = new Map<string, Waiting>()
  readonly #asked = new Map<string, Asked>()
  readonly #circuits: HostQuota
  readonly #unproven: HostQuota
  /** Bytes passed on since the start. */
  passedBytes = 0

  constructor(private readonly options: RelayOptions) {
    this.#limits = options.limits ?? defaultRelayLimits
    this.#circuits = new HostQuota(this.#limits.circuitsPerAddress)
    this.#unproven = new HostQuota(this.#limits.handshakesPerAddress)
    this.#server = createServer({ noDelay: true }, (socket) => void this.#serve(socket))
    this.#server.maxConnections = this.#limits.maxConnections
  }

  /** @returns its address, `host:port;key=…` @throws LinkError if it cannot listen there */
  start(): Promise<string> {
    const { host, port, key } = this.options
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => {
        const at = formatTcpAddress({ host, port })
        reject(
          new LinkError('LINK_ADDRESS', `The relay cannot listen on ${at}: ${cause.message}.`, { cause }),
        )
      })
      this.#server.listen(port, host, () => {
        const bound = this.#server.address()
        const at = formatTcpAddress({ host, port: typeof bound === 'object' && bound ? bound.port : port })
        resolve(formatPeerAddress({ at, key: key.publicKey, circuit: null }))
      })
    })
  }

  stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    return closed
  }

  /** Machines that wait here, circuits open now, and connections of any kind. */
  get counts(): { readonly names: number; readonly circuits: number; readonly connections: number } {
    const circuits = [...this.#machines.values()].reduce((sum, machine) => sum + machine.circuits, 0)
    return { names: this.#names.size, circuits, connections: this.#sockets.size }
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => this.#sockets.delete(socket))
    const host = socket.remoteAddress ?? ''
    const proved = this.#unproven.take(host)
    if (proved === null) {
      socket.destroy()
      this.options.onNote?.(tooManyUnproven(host, this.#unproven.of(host)).message)
      return
    }
    try {
      const first = await firstByte(socket, this.#limits.handshakeMs)
      if (first === TLS_HANDSHAKE) await this.#serveMachine(socket)
      else await this.#serveCircuit(socket)
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      socket.destroy()
      this.options.onNote?.(`${observed(socket)}: ${error.message}`)
    } finally {
      proved()
    }
  }

  async #serveMachine(socket: Socket): Promise<void> {
    const { key, isMember } = this.options
    const { handshakeMs: timeoutMs } = this.#limits
    const name = observed(socket)
    const { stream, peerKey } = await secureStream(socket, {
      ...{ key, side: 'acceptor', expected: null, timeoutMs, name },
    })
    const [verb, circuit = ''] = (await readLine(stream, timeoutMs, name)).split(' ')
    const refuse = (why: string): void => {
      // A machine that keeps its own half open keeps nothing here.
      stream.once('finish', () => socket.destroy())
      stream.end(`no ${why}\n`)
      this.options.onNote?.(`${name} may not wait here: ${why}.`)
    }
    if (verb !== 'wait' || !NAME.test(circuit)) return refuse('that is no name')
    if (!isMember(peerKey)) return refuse('this machine is not known')
    const machine = this.#machineOf(peerKey)
    const known = this.#names.get(circuit)
    if (known !== undefined && known.machine !== machine) return refuse('another machine has this name')
    if (known === undefined && machine.names.size >= this.#limits.namesPerMachine)
      return refuse(`it has ${machine.names.size} names already`)
    known?.control.destroy()
    const waiting = { machine, control: stream }
    machine.names.add(circuit)
    this.#names.set(circuit, waiting)
    socket.setTimeout(SILENCE_MS, () => socket.destroy())
    // Whatever it says, it says that it lives; it may have been removed since.
    stream.on('data', () => {
      if (isMember(peerKey)) return tell(stream, '\n')
      this.options.onNote?.(`${name} was removed and waits here no longer.`)
      socket.destroy()
    })
    stream.on('end', () => stream.end())
    socket.once('close', () => {
      stream.destroy()
      if (this.#names.get(circuit) !== waiting) return
      this.#names.delete(circuit)
      machine.names.delete(circuit)
      if (machine.names.size === 0 && machine.circuits === 0) this.#machines.delete(peerKey)
    })
    stream.write(`ok ${name}\n`)
    stream.resume()
  }

  async #serveCircuit(socket: Socket): Promise<void> {
    const name = observed(socket)
    const line = await readLine(socket, this.#limits.handshakeMs, name)
    const [verb, what = ''] = line.startsWith(PREAMBLE) ? line.slice(PREAMBLE.length).split(' ') : []
    if (verb === 'connect') this.#connect(socket, what, name)
    else if (verb === 'accept') this.#accept(socket, what, name)
    else throw new LinkError('LINK_PROTOCOL', 'It asked for nothing that a relay does.')
  }

  #connect(socket: Socket, circuit: string, name: string): void {
    const host = socket.remoteAddress ?? ''
    const waiting = this.#names.get(circuit)
    if (waiting === undefined || !this.options.isMember(waiting.machine.key))
      return void refuse(socket, NOBODY)
    const { machine, control } = waiting
    const ended = this.#circuits.take(host)
    if (ended === null) return void refuse(socket, 'you have too many circuits')
    if (machine.circuits >= this.#limits.circuitsPerMachine) {
      ended()
      return void refuse(socket, 'the machine has too many circuits')
    }
    machine.circuits += 1
    const token = randomBytes(18).toString('base64url')
    const cancel = systemTimers.after(this.#limits.handshakeMs, () => {
      this.#asked.delete(token)
      refuse(socket, 'the machine did not answer')
    })
    socket.once('close', () => {
      cancel()
      this.#asked.delete(token)
      machine.circuits -= 1
      ended()
    })
    this.#asked.set(token, { socket, machine, cancel })
    tell(control, `${token} ${name}\n`)
  }

  #accept(socket: Socket, token: string, name: string): void {
    const asked = this.#asked.get(token)
    if (asked === undefined) return void refuse(socket, 'nobody waits for this answer')
    this.#asked.delete(token)
    asked.cancel()
    const from = observed(asked.socket)
    socket.write(`ok ${name} ${from}\n`)
    asked.socket.write(`ok ${from} ${name}\n`)
    splice([asked.socket, socket], asked.machine.rate, this.#limits.idleMs, (sizeBytes) => {
      this.passedBytes += sizeBytes
    })
  }

  #machineOf(key: string): Machine {
    const known = this.#machines.get(key)
    if (known !== undefined) return known
    const rate = new ByteRate(this.#limits.bytesPerSecond, () => systemTimers.now())
    const machine = { key, names: new Set<string>(), rate, circuits: 0 }
    this.#machines.set(key, machine)
    return machine
  }
}

/** Says why, and ends the connection whether or not the other end does. */
function refuse(socket: Socket, why: string): void {
  socket.end(`no ${why}\n`)
  socket.destroySoon()
}

/** To a machine that waits here. */
function tell(control: Duplex, text: string): void {
  if (control.writableLength > MOST_UNREAD_BYTES) control.destroy()
  else control.write(text)
}

/** Looks at it and leaves it where it is. */
function firstByte(socket: Socket, timeoutMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (): void => {
      clearTimeout(timer)
      reject(new LinkError('LINK_TIMEOUT', 'It said nothing in time.'))
    }
    const timer = setTimeout(fail, timeoutMs)
    socket.once('close', fail)
    socket.once('data', (bytes: Buffer) => {
      clearTimeout(timer)
      socket.off('close', fail)
      socket.pause()
      socket.unshift(bytes)
      resolve(bytes[0]!)
    })
  })
}
