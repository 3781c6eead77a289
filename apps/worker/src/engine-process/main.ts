import { readSync, writeSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describeError } from '@deos/domain'
import { encodeFrame, FrameReader } from './engine-frames.ts'
import { type EngineAssignment, loadStage } from './engine-load.ts'
import type { EngineReply, EngineRequest } from './engine-messages.ts'
import { type HandedValues, PipeCollective } from './pipe-collective.ts'
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

interface Frame {
  readonly message: EngineRequest
  readonly payload: Uint8Array
}

const reader = new FrameReader<EngineRequest>()
/** Read while masks were waited for. */
const postponed: Frame[] = []

/** The next request, or null when the worker is gone. */
function readFrame(): Frame | null {
  for (;;) {
    const frame = reader.next()
    if (frame) return frame
    const space = reader.space()
    const count = readSync(PIPE_DESCRIPTOR, space, 0, space.length, null)
    if (count === 0) return null
    reader.advance(count)
  }
}

/** What entries of a step may sample: the worker finds that out while the step is computed. */
function readMasks(id: number, masked: readonly number[]): ReadonlyMap<number, Uint32Array> {
  if (masked.length === 0) return new Map()
  const { message, payload } = takeMasks(id)
  if (message.problem !== null) throw new Error(message.problem)
  const words = new Uint32Array(payload.buffer, payload.byteOffset, payload.byteLength / 4)
  const size = words.length / masked.length
  return new Map(masked.map((entry, index) => [entry, words.subarray(index * size, (index + 1) * size)]))
}

function takeMasks(id: number) {
  const isWanted = ({ message }: Frame) => message.type === 'masks' && message.id === id
  const early = postponed.findIndex(isWanted)
  let frame = early === -1 ? readFrame() : postponed.splice(early, 1)[0]!
  for (; frame && !isWanted(frame); frame = readFrame()) postponed.push(frame)
  if (!frame) process.exit(0) // the worker is gone
  return frame as { message: Extract<EngineRequest, { type: 'masks' }>; payload: Uint8Array }
}

const collective = new PipeCollective({
  hand: (to, data) => send({ type: 'hand', to }, data),
  next: takeHanded,
})

function takeHanded(): HandedValues {
  const early = postponed.findIndex(({ message }) => message.type === 'handed')
  let frame: Frame | null = early === -1 ? readFrame() : postponed.splice(early, 1)[0]!
  for (; frame; frame = readFrame()) {
    const { message, payload } = frame
    if (message.type === 'handed') return { from: message.from, data: payload }
    postponed.push(frame)
  }
  process.exit(0) // the worker is gone
}

async function load(assignment: EngineAssignment): Promise<StageExecutor | null> {
  try {
    collective.become(assignment.rank)
    const onProgress = (doneBytes: number, totalBytes: number): void =>
      send({ type: 'progress', doneBytes, totalBytes })
    const loaded = await loadStage(assignment, onProgress, collective)
    const { hiddenSize, vocabSize, eosTokens } = loaded.source.config
    const { name, description } = loaded.backend.device
    const device = `${name} (${description})`
    const { capacity, head } = loaded
    const engine = new StageExecutor(loaded, assignment)
    const sizes = { hiddenSize, vocabSize, hasHead: head, stopTokens: eosTokens }
    send({ type: 'loaded', report: { capacity, kv: engine.kv, device, ...sizes } })
    return engine
  } catch (error) {
    send({ type: 'load-failed', message: describeError(error) })
    return null
  }
}

async function serve(engine: StageExecutor, request: EngineRequest, payload: Uint8Array): Promise<void> {
  switch (request.type) {
    case 'prepare':
      await engine.prepare(request.needs)
      send({ type: 'done', id: request.id, value: 0 })
      break
    case 'open':
      engine.open({ ...request.session, tokens: asTokens(payload) })
      break
    case 'close':
      engine.close(request.key)
      break
    case 'step': {
      const { id, entries, embeds, coded, masked } = request
      const work = {
        ...{ entries, tokens: embeds ? asTokens(payload) : null, hidden: embeds ? null : payload },
        ...(coded && { coded }),
      }
      const { hidden, sampled, pooled, computeUs, ...result } = await engine.step(
        work,
        () => readMasks(id, masked),
        ({ keys, values, ...rows }) =>
          send({ type: 'stored', ...rows, keyBytes: keys.length }, Buffer.concat([keys, values])),
      )
      const count = pooled.length
      const reply = {
        type: 'stepped',
        id,
        sampled,
        pooled: count,
        coded: result.coded ?? false,
        computeUs,
      } as const
      send(reply, pooled.length > 0 ? Buffer.concat(pooled) : hidden)
      break
    }
    case 'read-kv':
      send({ type: 'kv', id: request.id }, await engine.readKv(request.slice))
      break
    case 'write-kv':
      await engine.writeKv({ ...request.slice, data: payload })
      send({ type: 'done', id: request.id, value: 0 })
      break
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

/** Reading never returns to the event loop, yet Node runs finalisers only there. */
const FRAMES_BEFORE_A_TURN = 256

let executor: StageExecutor | null = null
let frames = 0
for (let frame = readFrame(); frame; frame = postponed.shift() ?? readFrame()) {
  frames += 1
  if (frames % FRAMES_BEFORE_A_TURN === 0) await nextTurn()
  const { message, payload } = frame
  if (message.type === 'load') {
    executor = await load(message.assignment)
    continue
  }
  if (message.type === 'handed') {
    collective.put({ from: message.from, data: payload })
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
