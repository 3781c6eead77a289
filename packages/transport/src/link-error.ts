import { DomainError } from '@deos/domain'

export type LinkErrorCode =
  | 'LINK_ADDRESS'
  | 'LINK_PROXY'
  | 'LINK_UNREACHABLE'
  | 'LINK_REFUSED'
  | 'LINK_TIMEOUT'
  | 'LINK_UNAUTHENTICATED'
  | 'LINK_KEY'
  | 'LINK_VERSION'
  | 'LINK_RING'
  | 'LINK_PROTOCOL'
  | 'LINK_TOO_LARGE'
  | 'LINK_CLOSED'
  | 'LINK_ABORTED'

const remedies: Readonly<Record<LinkErrorCode, readonly [hint: string, retriable: boolean]>> = {
  LINK_ADDRESS: ['Use host:port with a free port, for example 127.0.0.1:7001.', false],
  LINK_PROXY: ['Give --proxy (DEOS_PROXY) as http://host:port of a proxy that takes CONNECT.', false],
  LINK_UNREACHABLE: ['Check the address, the network and firewalls between the machines.', true],
  LINK_REFUSED: ['Check that the peer runs and listens on this port.', true],
  LINK_TIMEOUT: ['Check firewalls and load; raise the timeout on slow networks.', true],
  LINK_UNAUTHENTICATED: ['Give both sides the same ring secret, and both TLS or neither.', false],
  LINK_KEY: [
    'Another machine answers there, or it has a new key: check the address, or let it join again.',
    false,
  ],
  LINK_VERSION: ['Run the same DeOS version on both sides.', false],
  LINK_RING: ['Check which ring this address belongs to.', false],
  LINK_PROTOCOL: ['The peer is broken or is not DeOS.', false],
  LINK_TOO_LARGE: ['Send less at once or raise the limit on both sides.', false],
  LINK_CLOSED: ['The peer may be full or stopping; try again later.', true],
  LINK_ABORTED: ['', true],
}

/** A link that could not be made, or a message that cannot go over one. */
export class LinkError extends DomainError {
  readonly retriable: boolean

  constructor(
    readonly code: LinkErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, remedies[code][0], options)
    this.retriable = remedies[code][1]
  }
}

/** Of a connection that was hung up at once. */
export const tooManyUnproven = (host: string, count: number): LinkError =>
  new LinkError('LINK_CLOSED', `${host} has ${count} connections that proved nothing yet.`)
