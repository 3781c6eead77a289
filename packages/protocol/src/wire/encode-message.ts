import { encodeKv } from '../kv/transfer/transfer-wire.ts'
import type { Message } from '../messages.ts'
import { encodeControl } from './control-messages.ts'
import { encodeClose, encodeStep, encodeStepDone, encodeToken } from './hot-messages.ts'

/**
 * The frame of a message as parts to write one after another: header and meta, then the payload if there is one.
 * The payload is the message's own memory, not a copy: leave it unchanged until it is written.
 *
 * @throws WireError if a number does not fit its field
 */
export function encodeMessage(message: Message): readonly Uint8Array[] {
  switch (message.type) {
    case 'step':
      return encodeStep(message)
    case 'step-done':
      return encodeStepDone(message)
    case 'token':
      return encodeToken(message)
    case 'close':
      return encodeClose(message)
    case 'kv-introduce':
    case 'kv-plan':
    case 'kv-offer':
    case 'kv-have':
    case 'kv-block':
    case 'kv-ack':
    case 'kv-commit':
    case 'kv-committed':
    case 'kv-abort':
    case 'kv-guard':
      return encodeKv(message)
    default:
      return encodeControl(message)
  }
}
