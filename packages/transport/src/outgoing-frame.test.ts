import { sessionId } from '@deos/domain'
import { defaultWireLimits, FrameDecoder, type Message } from '@deos/protocol'
import { expect, test } from 'vitest'
import { joinParts, outgoingFrame } from './outgoing-frame.ts'

test.each([1, 2, 3, 4, 5])(
  'a frame is as long as its parts, padding included (%i bytes of payload)',
  (size) => {
    const bits = new Uint8Array(size).fill(0xff)
    const message: Message = {
      type: 'kv-have',
      ...{ epoch: 1, session: sessionId('s'), offer: 1, windowBytes: 1, count: 8 * size, bits },
    }
    const { parts, sizeBytes } = outgoingFrame(message, defaultWireLimits)
    expect(parts.reduce((sum, part) => sum + part.length, 0)).toBe(sizeBytes)
    const decoded: Message[] = []
    new FrameDecoder(defaultWireLimits, (each) => decoded.push(each)).push(joinParts(parts, sizeBytes))
    expect(decoded).toEqual([message])
  },
)
