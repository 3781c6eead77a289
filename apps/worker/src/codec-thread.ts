/** Entry of the thread that codes blocks of KV; the worker's `BlockCodec` starts it. */
import { parentPort, workerData } from 'node:worker_threads'
import { readCalibration } from '@deos/codec'
import { describeError } from '@deos/domain'
import {
  type CodecReply,
  type CodecRequest,
  type CodecSettings,
  decodeBlock,
  encodeBlock,
} from './kv-transfer/index.ts'

const { calibration: given }: CodecSettings = workerData
const calibration = given && readCalibration(given.bytes, given.model)

parentPort?.on('message', ({ id, coding, bytes, facts }: CodecRequest) => {
  let reply: CodecReply
  const beganMs = performance.now()
  try {
    const coded =
      coding === null
        ? decodeBlock(bytes, facts, calibration)
        : encodeBlock(bytes, facts, coding, calibration)
    reply = { id, bytes: coded, durationMs: performance.now() - beganMs }
  } catch (error) {
    reply = { id, problem: describeError(error) }
  }
  parentPort?.postMessage(reply)
})
