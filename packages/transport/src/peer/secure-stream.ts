import { createHash } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { connect, createSecureContext, TLSSocket } from 'node:tls'
import { LinkError } from '../link-error.ts'
import { isSignedBy, type MachineKey } from './machine-key.ts'

/** An encrypted stream with a machine that has proved its key. */
export interface SecureStream {
  readonly stream: Duplex
  readonly peerKey: string
  /** 32 bytes that both ends of this stream know, and nobody else: what is signed under it is good here only. */
  readonly binding: Buffer
}

export interface SecureOptions {
  readonly key: MachineKey
  readonly side: 'dialler' | 'acceptor'
  /** Whose key must be there; `null` takes any. */
  readonly expected: string | null
  readonly timeoutMs: number
  /** For people. */
  readonly name: string
}

/**
 * TLS 1.3 needs a certificate or a shared key to begin with. This key is public and proves nothing; the key exchange
 * (X25519) encrypts, and each side's signature over the channel's exported key says who is there.
 */
const PUBLIC_PSK = createHash('sha256').update('deos peer 1').digest()
const tls13 = {
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256',
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
} as const
const acceptorContext = createSecureContext(tls13)
const EXPORTER = 'EXPORTER-deos-peer-1'
const MAGIC = Buffer.from('DeP1')
const KEY_BYTES = 32
const PROOF_BYTES = MAGIC.length + KEY_BYTES + 64

/**
 * Encrypts a connected stream and proves both machines' keys; nothing of the peer's is taken before its proof.
 *
 * @throws LinkError; the stream is destroyed then
 */
export function secureStream(raw: Duplex, options: SecureOptions): Promise<SecureStream> {
  const { side, name, timeoutMs, expected, key } = options
  return new Promise((resolve, reject) => {
    const tls = side === 'dialler' ? dialTls(raw) : acceptTls(raw)
    let read: Buffer = Buffer.alloc(0)
    let binding: Buffer | null = null
    const settle = (): void => {
      clearTimeout(timer)
      tls.off('data', onData)
      tls.off('close', onClose)
      tls.off('error', onError)
      tls.on('error', () => {})
    }
    const fail = (error: LinkError): void => {
      settle()
      raw.on('error', () => {})
      tls.destroy()
      raw.destroy()
      reject(error)
    }
    const onError = (cause: Error): void =>
      fail(new LinkError('LINK_UNAUTHENTICATED', `TLS with ${name} failed: ${cause.message}.`, { cause }))
    const onClose = (): void =>
      fail(new LinkError('LINK_UNAUTHENTICATED', `${name} hung up during the handshake.`))
    const timer = setTimeout(
      () =>
        fail(new LinkError('LINK_TIMEOUT', `${name} did not finish the handshake within ${timeoutMs} ms.`)),
      timeoutMs,
    )
    const onData = (chunk: Buffer): void => {
      read = read.length === 0 ? chunk : Buffer.concat([read, chunk])
      if (binding === null || read.length < PROOF_BYTES) return
      tls.pause()
      const verdict = readProof(read.subarray(0, PROOF_BYTES), binding, side, expected, name)
      if (verdict instanceof LinkError) {
        fail(verdict)
        return
      }
      settle()
      if (read.length > PROOF_BYTES) tls.unshift(read.subarray(PROOF_BYTES))
      resolve({ stream: tls, peerKey: verdict, binding })
    }
    tls.on('error', onError)
    tls.on('close', onClose)
    raw.once('close', () => tls.destroy())
    tls.once('secure', () => {
      binding = tls.exportKeyingMaterial(32, EXPORTER, Buffer.alloc(0))
      tls.write(proofOf(key, binding, side))
    })
    tls.on('data', onData)
  })
}

const dialTls = (socket: Duplex): TLSSocket =>
  connect({
    socket,
    ...tls13,
    // The proof that follows says who is there; there is no certificate.
    checkServerIdentity: () => undefined,
    rejectUnauthorized: false,
    pskCallback: () => ({ psk: PUBLIC_PSK, identity: 'deos' }),
  })

function acceptTls(socket: Duplex): TLSSocket {
  const options = { isServer: true, secureContext: acceptorContext, pskCallback: () => PUBLIC_PSK }
  // The types of the constructor leave out the pre-shared key, which it takes as servers do.
  return new TLSSocket(socket as ConstructorParameters<typeof TLSSocket>[0], options)
}

const signed = (binding: Uint8Array, side: SecureOptions['side'], publicKey: Uint8Array): Buffer =>
  Buffer.concat([MAGIC, Buffer.from(side), binding, publicKey])

function proofOf(key: MachineKey, binding: Buffer, side: SecureOptions['side']): Buffer {
  const publicKey = Buffer.from(key.publicKey, 'base64url')
  return Buffer.concat([MAGIC, publicKey, key.sign(signed(binding, side, publicKey))])
}

function readProof(
  proof: Buffer,
  binding: Buffer,
  side: SecureOptions['side'],
  expected: string | null,
  name: string,
): string | LinkError {
  if (!proof.subarray(0, MAGIC.length).equals(MAGIC))
    return new LinkError('LINK_PROTOCOL', `${name} sent no proof of its key.`)
  const publicKey = proof.subarray(MAGIC.length, MAGIC.length + KEY_BYTES)
  const key = publicKey.toString('base64url')
  const other = side === 'dialler' ? 'acceptor' : 'dialler'
  if (!isSignedBy(key, signed(binding, other, publicKey), proof.subarray(MAGIC.length + KEY_BYTES)))
    return new LinkError('LINK_KEY', `${name} did not prove the key ${key}.`)
  if (expected !== null && key !== expected)
    return new LinkError('LINK_KEY', `${name} has the key ${key}, not ${expected}.`)
  return key
}
