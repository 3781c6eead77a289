import { ringId } from '@deos/domain'
import { Relay } from '../relay/relay.ts'
import { ringKey } from '../ring-secret.ts'
import { describeTransport, type TransportFixture } from '../testing/describe-transport.ts'
import { type RawMachine, rawMachine } from '../testing/raw-peer.ts'
import { CHUNK_BYTES } from './chunk.ts'
import { passingKey } from './machine-key.ts'
import { parsePeerAddress } from './peer-address.ts'
import { PeerNode } from './peer-node.ts'

const ring = ringId('ring-1')
const right = new Uint8Array(32).fill(1)
const wrong = new Uint8Array(32).fill(2)

const peerFixture = (
  create: TransportFixture['create'],
  deadAddress: string,
  end: () => Promise<void>,
): TransportFixture => {
  const raws: RawMachine[] = []
  return {
    create,
    address: '127.0.0.1:0',
    deadAddress,
    connectRaw: async (address) => {
      const raw = await rawMachine(address)
      raws.push(raw)
      raw.open(1, ring, ringKey(right, ring))
      return {
        write: (bytes) => {
          for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
            raw.chunk('data', 1, bytes.subarray(at, at + CHUNK_BYTES))
        },
        pause: () => raw.hold(),
        resume: () => raw.release(),
        kill: () => raw.destroy(),
        closed: raw.channelClosed(1),
      }
    },
    dispose: async () => {
      for (const raw of raws.splice(0)) raw.destroy()
      await end()
    },
  }
}

describeTransport('machines, direct', () =>
  peerFixture(
    (identity, secret, limits) =>
      new PeerNode({ key: passingKey(), limits }).transport({
        identity,
        secret: secret === 'right' ? right : wrong,
      }),
    `127.0.0.1:1;key=${passingKey().publicKey}`,
    () => Promise.resolve(),
  ),
)

const relayPort = 7900 + (process.pid % 2000)
const relayKey = passingKey()
const relayAddress = `127.0.0.1:${relayPort};key=${relayKey.publicKey}`

describeTransport('machines, over a relay', () => {
  const relay = new Relay({ key: relayKey, host: '127.0.0.1', port: relayPort, isMember: () => true })
  const started = relay.start()
  return peerFixture(
    (identity, secret, limits) => {
      const node = new PeerNode({ key: passingKey(), limits, punches: false })
      const transport = node.transport({ identity, secret: secret === 'right' ? right : wrong })
      return {
        listen: async (address, onLink) => {
          await started
          await transport.listen('127.0.0.1:0', onLink)
          return await node.waitAt(relayAddress, parsePeerAddress(address).circuit ?? undefined)
        },
        connect: (address, handlers, signal) => transport.connect(address, handlers, signal),
        stop: () => transport.stop(),
      }
    },
    `127.0.0.1:${relayPort};key=${passingKey().publicKey};circuit=nobody-waits-here-0`,
    () => relay.stop(),
  )
})
