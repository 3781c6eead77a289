import type { Message, PeerRole } from '@deos/protocol'
import type { LinkEstimates, LinkPath } from './link-estimates.ts'
import type { Priority } from './peer/chunk.ts'

/**
 * An ordered, reliable, authenticated stream of messages to one peer.
 * Sending never blocks; `send` returns false once more than the high-water mark is queued, and the `drained`
 * promise resolves when the queue is short again. Whoever ignores that is cut off at the hard limit.
 */
export interface Link {
  /** Id the peer proved or declared in its hello. */
  readonly peer: string
  readonly role: PeerRole
  /** What is known of the way to the peer; all `null` on links that do not measure. */
  readonly estimates: LinkEstimates
  readonly path: LinkPath
  /**
   * @param priority - by default what suits the message. Messages of one priority stay in order, and those of an
   *   earlier one overtake; links that have only one stream keep all in order
   */
  send(message: Message, priority?: Priority): boolean
  drained(): Promise<void>
  close(reason?: string): void
}

export interface LinkHandlers {
  onMessage(message: Message, link: Link): void
  /** Called once; `reason` is for people. */
  onClose(reason: string, link: Link): void
}

/** Ways to reach peers; addresses are opaque to callers (`127.0.0.1:7001` for TCP, a name in memory). */
export interface Transport {
  /** Starts accepting links and returns the address under which peers reach this one. */
  listen(address: string, onLink: (link: Link) => LinkHandlers): Promise<string>
  /**
   * @throws LinkError with a reason a person can act on: unreachable, refused, wrong secret, wrong version
   */
  connect(address: string, handlers: LinkHandlers, signal?: AbortSignal): Promise<Link>
  stop(): Promise<void>
}
