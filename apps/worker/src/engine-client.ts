import { type ChildProcess, spawn } from 'node:child_process'
import { constants, setPriority } from 'node:os'
import type { Duplex } from 'node:stream'
import { DomainError, describeError, type KvSlice, type KvSliceWrite } from '@deos/domain'
import type {
  EngineKv,
  EngineSession,
  EngineStep,
  EngineStepResult,
  RingCapacity,
  SessionNeeds,
  StageEngine,
} from '@deos/protocol'
import { encodeFrame, FrameReader } from './engine-process/engine-frames.ts'
import type { EngineAssignment } from './engine-process/engine-load.ts'
import type { EngineReply, EngineReport, EngineRequest } from './engine-process/engine-messages.ts'
import type { StoredRows } from './engine-process/stage-executor.ts'
import { Lane } from './lane.ts'

export class EngineLoadError extends DomainError {
  readonly code = 'ENGINE_LOAD'
  readonly retriable = false
}

/** The engine process ended while it was needed. */
export class EngineLostError extends DomainError {
  readonly code = 'ENGINE_LOST'
  readonly retriable = true
}

export interface EngineClientOptions {
  /** Script of the engine process. */
  readonly entry: string
  readonly assignment: EngineAssignment
  /**
   * Whether the processes that pass messages on come before the engine: in a ring of several stages a message that
   * waits holds up all of them. A ring of one computes a step ahead and would only be held up itself.
   */
  readonly networkFirst: boolean
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void
  /** What the engine has for those of other ranks. */
  readonly onHand?: (to: readonly number[], data: Uint8Array) => void
  /** Something failed that nobody here asked for. */
  readonly onStrayFailure?: (reason: string) => void
  /** Called once, when the process is gone, whatever the reason. */
  readonly onExit: (reason: string) => void
}

/**
 * Small heaps: the engine's memory is native, and every worker of a machine has such a process. Baseline code from the
 * first call on: interpreted, a hop of the first thousand tokens takes twice as long.
 */
const NODE_FLAGS = ['--max-semi-space-size=2', '--max-old-space-size=256', '--always-sparkplug']

/** What sampling entries of a step are bound to. */
export interface StepMasks {
  /** Their indices in the step. */
  readonly entries: readonly number[]
  /** One bit for each token of the vocabulary, for each of them in order. */
  readonly words: Promise<readonly Uint32Array[]>
}

/** Keys and values of a layer: so many slices are handed to the engine in any case. */
const FEWEST_SLICES = 2
/** Share of a step's time that slices between two steps may take: a prompt chunk's keep up with the next chunks. */
const SLICES_SHARE = 0.1
/** What a slice takes on the way through a pipe, about: 64 KB, 0.25 ms. */
const sliceUs = (bytes: number): number => 50 + bytes / 300

interface Answer {
  readonly result: EngineStepResult
  readonly value: number
  readonly payload: Uint8Array
}

interface Waiter {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
}

/** The engine process as the worker sees it. */
export class EngineClient implements StageEngine {
  private readonly waiters = new Map<number, Waiter>()
  private readonly slices = new Lane(() =>
    Math.max(FEWEST_SLICES, (SLICES_SHARE * this.stepUs) / sliceUs(this.sliceBytes)),
  )
  /** Of the last step, and the last slice. */
  private stepUs = 0
  private sliceBytes = 0
  /** Told of K and V that are stored amid a step, of prompts that another ring goes on with. */
  onStored: (rows: StoredRows) => void = () => undefined
  private nextId = 1
  private computedUs = 0
  private exited: string | null = null

  private constructor(
    private readonly child: ChildProcess,
    private readonly stream: Duplex,
    readonly report: EngineReport,
    private readonly options: Pick<EngineClientOptions, 'onHand' | 'onStrayFailure'>,
  ) {}

  /** @throws EngineLoadError with the engine's own reason; EngineLostError if the process died meanwhile */
  static start(options: EngineClientOptions): Promise<EngineClient> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [...NODE_FLAGS, options.entry], {
        stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      })
      if (options.networkFirst) letNetworkGoFirst(child)
      let client: EngineClient | null = null
      let stderr = ''
      child.stderr!.on('data', (chunk: Buffer) => {
        stderr = (stderr + chunk.toString()).slice(-STDERR_KEPT)
      })
      const stream = child.stdio[3] as Duplex
      stream.on('error', () => undefined) // the exit tells more
      const reader = new FrameReader<EngineReply>()
      const receive = (reply: EngineReply, payload: Uint8Array) => {
        if (client) client.receive(reply, payload)
        else if (reply.type === 'progress') options.onProgress?.(reply.doneBytes, reply.totalBytes)
        else if (reply.type === 'loaded') {
          client = new EngineClient(child, stream, reply.report, options)
          resolve(client)
        } else if (reply.type === 'load-failed') {
          reject(new EngineLoadError(reply.message, ''))
          child.kill('SIGKILL')
        }
      }
      stream.on('data', (chunk: Buffer) => {
        reader.push(chunk)
        for (let frame = reader.next(); frame; frame = reader.next()) receive(frame.message, frame.payload)
      })
      child.on('error', (error) => reject(new EngineLoadError(error.message, 'Check the installation.')))
      child.on('exit', (code, signal) => {
        const reason = describeExit(code, signal, stderr)
        client?.lose(reason)
        reject(new EngineLostError(reason, 'It is started again.'))
        options.onExit(reason)
      })
      stream.write(encodeFrame({ type: 'load', assignment: options.assignment }, empty))
    })
  }

  get capacity(): RingCapacity {
    return this.report.capacity
  }

  get kv(): EngineKv {
    return this.report.kv
  }

  /** Time it has computed so far, in microseconds. */
  get computeUs(): number {
    return this.computedUs
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  async prepare(needs: SessionNeeds): Promise<void> {
    const id = this.nextId++
    await this.ask({ type: 'prepare', id, needs }, id)
  }

  open({ tokens, ...session }: EngineSession): void {
    this.send({ type: 'open', session }, asBytes(tokens))
  }

  close(key: number): void {
    this.send({ type: 'close', key })
  }

  /** @param masks - what some entries may sample; the step is computed while they are awaited */
  async step(
    { entries, tokens, hidden, coded }: EngineStep,
    masks: StepMasks | null = null,
  ): Promise<EngineStepResult> {
    const id = this.nextId++
    const payload = tokens ? asBytes(tokens) : (hidden ?? empty)
    const masked = masks?.entries ?? []
    const embeds = tokens !== null
    const done = this.ask({ type: 'step', id, entries, embeds, coded: coded ?? false, masked }, id, payload)
    masks?.words.then(
      (words) => this.send({ type: 'masks', id, problem: null }, Buffer.concat(words.map(asBytes))),
      (error: unknown) => this.send({ type: 'masks', id, problem: describeError(error) }),
    )
    return (await done).result
  }

  readKv(slice: KvSlice): Promise<Uint8Array> {
    return this.slices.run(async () => {
      const id = this.nextId++
      const { payload } = await this.ask({ type: 'read-kv', id, slice }, id)
      this.sliceBytes = payload.byteLength
      return payload
    })
  }

  writeKv({ data, ...slice }: KvSliceWrite, isWanted?: () => boolean): Promise<void> {
    return this.slices.run(async () => {
      if (isWanted?.() === false) throw new Error('The pages are not for this slice any more.')
      const id = this.nextId++
      this.sliceBytes = data.byteLength
      await this.ask({ type: 'write-kv', id, slice }, id, data)
    })
  }

  async reset(): Promise<void> {
    const id = this.nextId++
    await this.ask({ type: 'reset', id }, id)
  }

  async freePages(): Promise<number> {
    const id = this.nextId++
    return (await this.ask({ type: 'free-pages', id }, id)).value
  }

  stop(): Promise<void> {
    if (this.exited !== null) return Promise.resolve()
    return new Promise((resolve) => {
      this.child.once('exit', () => resolve())
      this.child.kill('SIGKILL') // it owns nothing that needs an orderly end
    })
  }

  /** Gives the engine what that of another rank has for it. */
  hand(from: number, data: Uint8Array): void {
    this.send({ type: 'handed', from }, data)
  }

  /** Gives the engine a request of rank 0; only of its failure anybody here hears. */
  forward(request: EngineRequest, payload: Uint8Array): void {
    this.send(request, payload)
  }

  private send(request: EngineRequest, payload?: Uint8Array): void {
    if (this.exited === null) this.stream.write(encodeFrame(request, payload ?? empty))
  }

  private ask(request: EngineRequest, id: number, payload?: Uint8Array) {
    return new Promise<Answer>((resolve, reject) => {
      if (this.exited !== null) {
        reject(new EngineLostError(this.exited, 'It is started again.'))
        return
      }
      this.waiters.set(id, { resolve, reject })
      this.send(request, payload)
    })
  }

  private receive(reply: EngineReply, payload: Uint8Array): void {
    if (reply.type === 'hand') this.options.onHand?.(reply.to, payload)
    if (reply.type === 'stored') {
      const { type: _, keyBytes, ...place } = reply
      this.onStored({ ...place, keys: payload.subarray(0, keyBytes), values: payload.subarray(keyBytes) })
      return
    }
    if (!('id' in reply)) return
    if (reply.type === 'stepped') {
      this.computedUs += reply.computeUs
      this.stepUs = reply.computeUs
    }
    const waiter = this.waiters.get(reply.id)
    this.waiters.delete(reply.id)
    if (reply.type === 'failed' && !waiter) this.options.onStrayFailure?.(reply.message)
    if (reply.type === 'failed') waiter?.reject(new Error(reply.message))
    else if (reply.type === 'stepped') {
      waiter?.resolve({ result: stepResult(reply, payload), value: 0, payload: empty })
    } else waiter?.resolve({ result: nothing, value: reply.type === 'done' ? reply.value : 0, payload })
  }

  private lose(reason: string): void {
    this.exited = reason
    for (const waiter of this.waiters.values())
      waiter.reject(new EngineLostError(reason, 'It is started again.'))
    this.waiters.clear()
  }
}

const STDERR_KEPT = 2000
const empty = new Uint8Array()
const nothing: EngineStepResult = { hidden: empty, sampled: [], pooled: [], computeUs: 0 }

function stepResult(
  { sampled, pooled, coded, computeUs }: Extract<EngineReply, { type: 'stepped' }>,
  payload: Uint8Array,
): EngineStepResult {
  const size = pooled === 0 ? 0 : payload.byteLength / pooled
  const vectors = Array.from({ length: pooled }, (_, index) =>
    payload.subarray(index * size, (index + 1) * size),
  )
  const hidden = pooled === 0 ? payload : empty
  return { hidden, sampled, pooled: vectors, computeUs, ...(coded && { coded }) }
}

const asBytes = (values: Int32Array | Uint32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

function describeExit(code: number | null, signal: string | null, stderr: string): string {
  const last = stderr.trim().split('\n').at(-1)
  const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`
  return `The engine process ${how}${last ? `: ${last}` : '.'}`
}

/** Computing fills every core it gets; the processes that pass messages on come first then. */
function letNetworkGoFirst({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL)
  } catch {
    // A system that does not allow it schedules all alike.
  }
}
