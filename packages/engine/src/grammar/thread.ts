import { parentPort, workerData } from 'node:worker_threads'
import { GrammarServer } from './server.ts'
import type { GrammarRequest, GrammarThreadData } from './thread-messages.ts'

/** The body of the grammar thread's entry: serves the host that started it. */
export function serveGrammars(): void {
  if (!parentPort) throw new Error('The grammar thread is started by a GrammarHost, not by itself.')
  const port = parentPort
  const { vocabulary, options } = workerData as GrammarThreadData
  const server = new GrammarServer(vocabulary, options)
  port.on('message', (request: GrammarRequest) => {
    const reply = server.handle(request)
    if (reply) port.postMessage(reply, reply.mask ? [reply.mask.buffer as ArrayBuffer] : [])
  })
}
