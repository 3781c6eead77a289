/** Entry of the thread that codes blocks of KV; the worker's `BlockCodec` starts it. */
import { parentPort } from 'node:worker_threads'
import { describeError } from '@deos/domain'
import { type CodecReply, type CodecRequest, decodeBlock, encodeBlock } from './kv-transfer/index.ts'

parentPort?.on('message', ({ id, direction, bytes, facts }: CodecRequest) => {
  let reply: CodecReply
  try {
    reply = { id, bytes: direction === 'encode' ? encodeBlock(bytes, facts) : decodeBlock(bytes, facts) }
  } catch (error) {
    reply = { id, problem: describeError(error) }
  }
  parentPort?.postMessage(reply)
})
