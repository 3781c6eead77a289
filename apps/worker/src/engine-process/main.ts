import { readSync, writeSync } from 'node:fs'
import { describeError } from '@deos/domain'
import { encodeFrame, FrameReader } from './engine-frames.ts'
import { type EngineAssignment, loadStage } from './engine-load.ts'
import type { EngineReply, EngineRequest } from './engine-messages.ts'
import { StageExecutor } from './stage-executor.ts'

/**
 * The process that computes. It talks only to the worker that started it, over file descriptor 3, and may die of
 * a native abort at any time: the worker starts another. It has nothing to do but the next request, so it reads and
 * writes synchronously, which costs a fraction of a stream.
 */
const PIPE_DESCRIPTOR = 3
const nothing = new Uint8Array()

function send(reply: EngineReply, payload: Uint8Array = nothing): void {
  const frame = encodeFrame(reply, payload)
  for (let offset = 0; offset < frame.length; ) offset += writeSync(PIPE_DESCRIPTOR, frame, offset)
}

/** Requests one after another, until the worker is gone. */
function* requests() {
  const reader = new FrameReader<EngineRequest>()
  for (;;) {
    for (let frame = reader.next(); frame; frame = reader.next()) yield frame
    const space = reader.space()
    const count = readSync(PIPE_DESCRIPTOR, space, 0, space.length, null)
    if (count === 0) return
    reader.advance(count)
  }
}

async function load(assignment: EngineAssignment): Promise<StageExecutor | null> {
  try {
    const loaded = await loadStage(assignment, (doneBytes, totalBytes) =>
      send({ type: 'progress', doneBytes, totalBytes }),
    )
    const { hiddenSize, vocabSize } = loaded.source.config
    const { name, description } = loaded.backend.device
    const device = `${name} (${description})`
    send({ type: 'loaded', report: { capacity: loaded.capacity, device, hiddenSize, vocabSize } })
    return new StageExecutor(loaded, assignment.speed)
  } catch (error) {
    send({ type: 'load-failed', message: describeError(error) })
    return null
  }
}

async function serve(engine: StageExecutor, request: EngineRequest, payload: Uint8Array): Promise<void> {
  switch (request.type) {
    case 'open':
      engine.open({ ...request.session, tokens: asTokens(payload) })
      break
    case 'close':
      engine.close(request.key)
      break
    case 'step': {
      const { entries, embeds } = request
      const work = { entries, tokens: embeds ? asTokens(payload) : null, hidden: embeds ? null : payload }
      const { hidden, sampled, computeUs } = await engine.step(work)
      send({ type: 'stepped', id: request.id, sampled, computeUs }, hidden)
      break
    }
    case 'reset':
      await engine.reset()
      send({ type: 'done', id: request.id, value: 0 })
      break
    case 'free-pages':
      send({ type: 'done', id: request.id, value: await engine.freePages() })
  }
}

const asTokens = (payload: Uint8Array): Int32Array =>
  new Int32Array(payload.buffer, payload.byteOffset, payload.byteLength / 4)

// The worker decides when to stop: Ctrl-C reaches the whole process group.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => undefined)

let executor: StageExecutor | null = null
for (const { message, payload } of requests()) {
  if (message.type === 'load') {
    executor = await load(message.assignment)
    continue
  }
  if (!executor) continue
  try {
    await serve(executor, message, payload)
  } catch (error) {
    if ('id' in message) send({ type: 'failed', id: message.id, message: describeError(error) })
  }
}
process.exit(0)
