import type { SampledToken } from '@deos/domain'
import type {
  Backend,
  BackendStatus,
  EmbedRequest,
  GenerateEvent,
  GenerateRequest,
} from '../inference/backend.ts'
import { bytesOf, END } from './byte-model.ts'

export type Script = (request: GenerateRequest, signal: AbortSignal) => AsyncIterable<GenerateEvent>

const ready: BackendStatus = {
  ready: true,
  active: 0,
  queued: 0,
  contextLength: null,
  usage: null,
  details: {},
}

/** A backend that plays a script and remembers what it was asked and what became of it. */
export class ScriptedBackend implements Backend {
  readonly requests: GenerateRequest[] = []
  readonly ended: string[] = []
  readonly embedded: EmbedRequest[] = []
  /** The vector of a request. */
  vector: (request: EmbedRequest) => Float32Array = ({ tokens }) => Float32Array.from(tokens)
  running = 0

  constructor(
    public script: Script,
    public current: BackendStatus = ready,
  ) {}

  status(): BackendStatus {
    return { ...this.current, active: this.running }
  }

  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent, void> {
    this.requests.push(request)
    this.running += 1
    try {
      yield* this.script(request, signal)
    } finally {
      this.running -= 1
      this.ended.push(request.id)
    }
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Float32Array> {
    signal.throwIfAborted()
    this.embedded.push(request)
    return this.vector(request)
  }
}

/** A byte as sampled; with log-probabilities, every alternative is one half as likely as the one before. */
export function sampled(token: number, alternatives: number | null): SampledToken {
  const half = Math.log(0.5)
  return {
    token,
    logprobs:
      alternatives === null
        ? null
        : {
            logprob: half,
            top: Array.from({ length: alternatives }, (_, index) => ({
              token: (token + index) % 256,
              logprob: half * (index + 1),
            })),
          },
  }
}

/** Says `text` byte by byte, then ends, or stops short at the limit. */
export async function* say(
  text: string,
  request: GenerateRequest,
  cachedTokens = 0,
): AsyncGenerator<GenerateEvent, void> {
  const tokens = [...bytesOf(text), END]
  for (const [index, token] of tokens.entries()) {
    const stopped = request.stopTokens.includes(token)
    const full = index + 1 === request.maxTokens
    yield {
      sampled: sampled(token, request.sampling.logprobs),
      finish: stopped ? 'stop' : full || index + 1 === tokens.length ? 'length' : null,
      cachedTokens,
    }
    if (stopped || full) return
  }
}

/** Rejects with the signal's reason as soon as it aborts. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

/** Says `text`, then falls silent until cancelled. */
export async function* sayAndHang(
  text: string,
  request: GenerateRequest,
  signal: AbortSignal,
): AsyncGenerator<GenerateEvent, void> {
  for (const token of bytesOf(text)) {
    signal.throwIfAborted()
    yield { sampled: sampled(token, request.sampling.logprobs), finish: null, cachedTokens: 0 }
  }
  await untilAborted(signal)
}
