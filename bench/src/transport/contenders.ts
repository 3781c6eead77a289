import { type AddressInfo, createServer } from 'node:net'
import { ringId, seededRandom } from '@deos/domain'
import type { Message } from '@deos/protocol'
import {
  dialTcp,
  type Link,
  linkIdentity,
  MemoryNetwork,
  PeerNode,
  passingKey,
  Relay,
  systemTimers,
  TcpTransport,
  type Transport,
} from '@deos/transport'

/** Two ends that are connected; what the near one sends the far one counts, and echoes if it is small. */
export interface Contender {
  readonly name: string
  /** Resolves when a small message has come back. */
  roundTrip(): Promise<void>
  /** Resolves when the far end has so many messages of 1 MiB. */
  send(count: number): Promise<void>
  stop(): Promise<void>
}

const ring = ringId('bench')
const secret = new Uint8Array(32).fill(7)
export const MESSAGE_BYTES = 1 << 20
const SMALL_BYTES = 64

const small: Message = { type: 'close', epoch: 1, key: 1 }
const large: Message = {
  ...{ type: 'step', epoch: 1, step: 1, times: [] },
  entries: [{ key: 1, position: 0, count: 1, sample: true, pages: [] }],
  hidden: new Uint8Array(MESSAGE_BYTES),
}

class Waits {
  #left = 0
  #done: () => void = () => undefined

  until(count: number): Promise<void> {
    this.#left = count
    return new Promise((resolve) => {
      this.#done = resolve
    })
  }

  came(): void {
    this.#left -= 1
    if (this.#left === 0) this.#done()
  }
}

async function overLinks(
  name: string,
  far: Transport,
  near: Transport,
  address: string | ((listening: string) => Promise<string>),
  after: () => Promise<unknown> = () => Promise.resolve(),
): Promise<Contender> {
  const back = new Waits()
  const there = new Waits()
  const listening = await far.listen(typeof address === 'string' ? address : '127.0.0.1:0', (link) => ({
    onMessage: (message) => (message.type === 'step' ? there.came() : link.send(small)),
    onClose: () => undefined,
  }))
  const target = typeof address === 'string' ? listening : await address(listening)
  const link: Link = await near.connect(target, { onMessage: () => back.came(), onClose: () => undefined })
  return {
    name,
    roundTrip: () => {
      const came = back.until(1)
      link.send(small)
      return came
    },
    send: async (count) => {
      const came = there.until(count)
      for (let sent = 0; sent < count; sent++) if (!link.send(large)) await link.drained()
      await came
    },
    stop: async () => {
      await Promise.all([near.stop(), far.stop()])
      await after()
    },
  }
}

const peer = (name: string, node = new PeerNode({ key: passingKey(), punches: false })) => ({
  node,
  transport: node.transport({ identity: linkIdentity('worker', name, ring), secret }),
})

export async function plainTcp(): Promise<Contender> {
  const back = new Waits()
  const there = new Waits()
  let isBulk = false
  let bytes = 0
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      if (!isBulk) {
        socket.write(chunk)
        return
      }
      bytes += chunk.length
      for (; bytes >= MESSAGE_BYTES; bytes -= MESSAGE_BYTES) there.came()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  const { port } = server.address() as AddressInfo
  const socket = await dialTcp(`127.0.0.1:${port}`, { timeoutMs: 5_000 })
  socket.on('data', () => back.came())
  const payload = new Uint8Array(MESSAGE_BYTES)
  return {
    name: 'plain',
    roundTrip: () => {
      const came = back.until(1)
      isBulk = false
      socket.write(new Uint8Array(SMALL_BYTES))
      return came
    },
    send: async (count) => {
      isBulk = true
      const came = there.until(count)
      for (let sent = 0; sent < count; sent++) {
        if (!socket.write(payload)) await new Promise<void>((resolve) => socket.once('drain', resolve))
      }
      await came
    },
    stop: async () => {
      socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export function memory(): Promise<Contender> {
  const network = new MemoryNetwork({ latencyMs: [0, 0] }, systemTimers, seededRandom(1))
  const transport = (name: string) => network.transport(linkIdentity('worker', name, ring), 'secret')
  return overLinks('memory', transport('far'), transport('near'), 'far')
}

export function tcp(): Promise<Contender> {
  const transport = (name: string) =>
    new TcpTransport({ identity: linkIdentity('worker', name, ring), secret })
  return overLinks('tcp', transport('far'), transport('near'), '127.0.0.1:0')
}

export function secure(): Promise<Contender> {
  return overLinks('secure', peer('far').transport, peer('near').transport, '127.0.0.1:0')
}

/** The relay runs in the same process, so that its time counts. */
export async function relayed(): Promise<Contender> {
  const limits = {
    ...{ namesPerMachine: 1, circuitsPerMachine: 4, circuitsPerAddress: 4, bytesPerSecond: 1e12 },
    ...{ idleMs: 30_000, handshakeMs: 10_000, handshakesPerAddress: 16, maxConnections: 16 },
  }
  const relay = new Relay({ key: passingKey(), host: '127.0.0.1', port: 0, isMember: () => true, limits })
  const address = await relay.start()
  const far = peer('far')
  return await overLinks(
    'relayed',
    far.transport,
    peer('near').transport,
    () => far.node.waitAt(address),
    () => relay.stop(),
  )
}
