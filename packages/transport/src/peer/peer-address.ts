import { LinkError } from '../link-error.ts'
import { parseTcpAddress } from '../tcp-address.ts'
import { isPublicKey } from './machine-key.ts'

/**
 * Where and who a machine is, as text: `host:port;key=K`, or behind a relay `host:port;key=K;circuit=C` with the
 * relay's host and port and the name under which the machine waits there.
 */
export interface PeerAddress {
  /** `host:port`. */
  readonly at: string
  /** The machine's public key; `null` leaves it open who is there. */
  readonly key: string | null
  /** `null` if the machine is reached at `at` itself. */
  readonly circuit: string | null
}

const CIRCUIT = /^[A-Za-z0-9_-]{16,64}$/

/** @throws LinkError saying what is wrong with it */
export function parsePeerAddress(text: string): PeerAddress {
  const [at = '', ...fields] = text.split(';')
  parseTcpAddress(at)
  let key: string | null = null
  let circuit: string | null = null
  for (const field of fields) {
    const [name, value = ''] = field.split('=', 2)
    if (name === 'key' && key === null && isPublicKey(value)) key = value
    else if (name === 'circuit' && circuit === null && CIRCUIT.test(value)) circuit = value
    else throw new LinkError('LINK_ADDRESS', `"${text}" is not an address: "${field}" means nothing in it.`)
  }
  return { at, key, circuit }
}

export const formatPeerAddress = ({ at, key, circuit }: PeerAddress): string =>
  `${at}${key === null ? '' : `;key=${key}`}${circuit === null ? '' : `;circuit=${circuit}`}`

/** Whether the address names the machine that is there, so that links to it are {@link PeerTransport}'s. */
export const namesMachine = (address: string): boolean => address.includes(';key=')
