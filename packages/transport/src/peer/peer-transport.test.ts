import { ringId } from '@deos/domain'
import { ringKey } from '../ring-secret.ts'
import { describeTransport } from '../testing/describe-transport.ts'
import { type RawMachine, rawMachine } from '../testing/raw-peer.ts'
import { CHUNK_BYTES } from './chunk.ts'
import { passingKey } from './machine-key.ts'
import { PeerNode } from './peer-node.ts'

const ring = ringId('ring-1')
const right = new Uint8Array(32).fill(1)
const wrong = new Uint8Array(32).fill(2)

describeTransport('machines, direct', () => {
  const raws: RawMachine[] = []
  return {
    create: (identity, secret, limits) =>
      new PeerNode({ key: passingKey(), limits }).transport({
        identity,
        secret: secret === 'right' ? right : wrong,
      }),
    address: '127.0.0.1:0',
    deadAddress: `127.0.0.1:1;key=${passingKey().publicKey}`,
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
    dispose: () => {
      for (const raw of raws.splice(0)) raw.destroy()
      return Promise.resolve()
    },
  }
})
