/** Entry of the thread that encodes long texts; started by the pool, one request at a time. */
import { parentPort, workerData } from 'node:worker_threads'
import type { ThreadData, ThreadReply, ThreadRequest } from './thread-messages.ts'
import { Tokenizer } from './tokenizer.ts'

if (!parentPort) throw new Error('The tokenizer thread is started by a TokenizerPool, not by itself.')
const port = parentPort
const tokenizer = new Tokenizer((workerData as ThreadData).definition)

port.on('message', ({ id, text, options }: ThreadRequest) => {
  try {
    const ids = tokenizer.encode(text, options)
    port.postMessage({ id, ids } satisfies ThreadReply, [ids.buffer as ArrayBuffer])
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    port.postMessage({ id, error: reason } satisfies ThreadReply)
  }
})
