import { encodeMessage, HEADER_BYTES, type Message, WireError, type WireLimits } from '@deos/protocol'
import { LinkError } from './link-error.ts'

export interface OutgoingFrame {
  readonly parts: readonly Uint8Array[]
  readonly sizeBytes: number
}

/** @throws LinkError if the message exceeds what a peer with the same limits would take */
export function outgoingFrame(message: Message, limits: WireLimits): OutgoingFrame {
  const parts = encode(message)
  const meta = parts[0]!.length - HEADER_BYTES
  // Padding comes apart, so that what it follows need not be copied.
  const payload = parts.slice(1).reduce((sum, part) => sum + part.length, 0)
  if (meta > limits.maxMetaBytes || payload > limits.maxPayloadBytes) {
    throw new LinkError(
      'LINK_TOO_LARGE',
      `A ${message.type} of ${meta} + ${payload} bytes exceeds the frame limit of ${limits.maxMetaBytes} + ${limits.maxPayloadBytes}.`,
    )
  }
  return { parts, sizeBytes: HEADER_BYTES + meta + payload }
}

function encode(message: Message): readonly Uint8Array[] {
  try {
    return encodeMessage(message)
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw new LinkError('LINK_PROTOCOL', `A ${message.type} cannot be sent: ${cause.message}`, { cause })
  }
}

export function joinParts(parts: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
