import { Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { describeError } from '@deos/domain'
import { EnginePipe, type EngineReply, type EngineRequest } from './engine-frames.ts'
import { type EngineAssignment, loadStage } from './engine-load.ts'
import { StageExecutor } from './stage-executor.ts'

/**
 * The process that computes. It talks only to the worker that started it, over file descriptor 3, and may die of
 * a native abort at any time: the worker starts another.
 */
const PIPE_DESCRIPTOR = 3

let executor: StageExecutor | null = null

const socket = new Socket({ fd: PIPE_DESCRIPTOR, readable: true, writable: true })
const pipe = new EnginePipe<EngineRequest, EngineReply>(socket, (request, payload) => {
  if (request.type === 'load') void load(request.assignment)
  else if (executor) serve(executor, request, payload)
})
socket.on('close', () => process.exit(0))
socket.on('error', () => process.exit(0))
// The worker decides when to stop: Ctrl-C reaches the whole process group.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => undefined)

async function load(assignment: EngineAssignment): Promise<void> {
  try {
    const loaded = await loadStage(assignment, (doneBytes, totalBytes) =>
      pipe.send({ type: 'progress', doneBytes, totalBytes }),
    )
    const { hiddenSize, vocabSize } = loaded.source.config
    const { stage, capacity, embedding, head } = loaded
    executor = new StageExecutor({
      ...{ stage, capacity, embedding, head, hiddenSize, vocabSize },
      speed: assignment.speed,
    })
    const { name, description } = loaded.backend.device
    pipe.send({
      type: 'loaded',
      report: { capacity, device: `${name} (${description})`, hiddenSize, vocabSize },
    })
  } catch (error) {
    pipe.send({ type: 'load-failed', message: describeError(error) })
  }
}

function serve(
  engine: StageExecutor,
  request: Exclude<EngineRequest, { type: 'load' }>,
  payload: Uint8Array,
): void {
  switch (request.type) {
    case 'open':
      engine.open({ ...request.session, tokens: asTokens(payload) })
      break
    case 'close':
      engine.close(request.key)
      break
    case 'step':
      void step(engine, request, payload)
      break
    case 'reset':
      answer(
        request.id,
        engine.reset().then(() => 0),
      )
      break
    case 'free-pages':
      answer(request.id, engine.freePages())
      break
  }
}

async function step(
  engine: StageExecutor,
  { id, entries, embeds }: Extract<EngineRequest, { type: 'step' }>,
  payload: Uint8Array,
): Promise<void> {
  const started = performance.now()
  try {
    const { hidden, sampled } = await engine.step({
      entries,
      tokens: embeds ? asTokens(payload) : null,
      hidden: embeds ? null : payload,
    })
    pipe.send({ type: 'stepped', id, sampled, computeMs: performance.now() - started }, hidden)
  } catch (error) {
    pipe.send({ type: 'failed', id, message: describeError(error) })
  }
}

function answer(id: number, result: Promise<number>): void {
  result.then(
    (value) => pipe.send({ type: 'done', id, value }),
    (error: unknown) => pipe.send({ type: 'failed', id, message: describeError(error) }),
  )
}

/** Token ids are copied out: the payload is a view into a read buffer that must not be kept alive. */
const asTokens = (payload: Uint8Array): Int32Array => new Int32Array(payload.slice().buffer)
