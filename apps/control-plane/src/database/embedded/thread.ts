/** Entry of the thread that the embedded database runs on: it blocks while it works. */
import { parentPort, workerData } from 'node:worker_threads'
import { createEngineFiles } from './engine-image.ts'
import { EnginePort } from './engine-port.ts'
import { openEngine } from './postgres-engine.ts'
import type { ThreadData, ThreadReply, ThreadRequest } from './thread-messages.ts'

if (!parentPort) throw new Error('The database thread is started by openDatabase, not by itself.')
const parent = parentPort
const data = workerData as ThreadData
const reply = (message: ThreadReply) => parent.postMessage(message)

if (data.task === 'create') {
  await createEngineFiles(data.folder, data.image)
  reply({ type: 'closed' })
} else {
  const server = new EnginePort(await openEngine(data.folder))
  parent.on('message', async (request: ThreadRequest) => {
    if (request.type === 'connect') {
      server.connect(request.port)
      return
    }
    await server.close()
    reply({ type: 'closed' })
    parent.close()
  })
  reply({ type: 'ready' })
}
