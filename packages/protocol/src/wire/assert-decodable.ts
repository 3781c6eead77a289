import type { Message } from '../messages.ts'
import { encodeMessage } from './encode-message.ts'
import { FrameDecoder } from './frame-decoder.ts'
import type { WireLimits } from './wire-limits.ts'

/**
 * Checks a message built from foreign input as its receiver will: there, a fault would cost the whole link.
 *
 * @throws WireError naming the field that a peer with these limits would refuse
 */
export function assertDecodable(message: Message, limits: WireLimits): void {
  const decoder = new FrameDecoder(limits, () => {})
  for (const part of encodeMessage(message)) decoder.push(part)
}
