import type { Duplex } from 'node:stream'
import type { Dial } from '../dial.ts'
import { LinkError } from '../link-error.ts'

const TRY_MS = 2_000
const PAUSE_MS = 50
const GIVE_UP_MS = 5_000

/**
 * Dials the other end from the port that its NAT has seen, while the other end does the same: each one's first packet
 * opens its own NAT for the other's, and TCP's simultaneous open (RFC 9293, 3.5) makes one connection of the two.
 *
 * @returns `null` if the NATs between do not allow it, or it was given up
 */
export async function punch(
  dial: Dial,
  peerAt: string,
  localPort: number,
  now: () => number,
  signal: AbortSignal,
): Promise<Duplex | null> {
  const startedMs = now()
  while (!signal.aborted && now() - startedMs < GIVE_UP_MS) {
    try {
      return await dial(peerAt, { timeoutMs: TRY_MS, localPort, signal })
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }
  return null
}
