import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { DomainError } from '@deos/domain'
import { TokenStream } from './token-stream.ts'
import type { ServeRequest } from './workload.ts'

/** One streamed answer as its client saw it. */
export interface StreamRecord {
  readonly startedMs: number
  /** When each event with text arrived, on the clock of `startedMs`. */
  readonly tokensMs: readonly number[]
  readonly tokens: number
  readonly cachedTokens: number
}

export interface StreamOptions {
  readonly signal?: AbortSignal
  /** Called after every piece with what has arrived so far. */
  readonly onTokens?: (tokensMs: readonly number[]) => void
}

/** A server that gives fewer tokens than asked for, or none, cannot be compared. */
export class ServerFailedError extends DomainError {
  readonly code = 'SERVER_FAILED'
  readonly retriable = true

  constructor(
    message: string,
    hint = 'The servers’ logs lie in the folder "serve" of --cache-dir.',
    options?: ErrorOptions,
  ) {
    super(message, hint, options)
  }
}

/**
 * Asks an OpenAI-compatible server for streamed completions of exactly so many tokens. Plain `node:http`: the load
 * generator shares its cores with the server it measures.
 */
export class CompletionClient {
  /** A connection for each request: a server may close one just when it is used again. */
  readonly #agent = new Agent({ keepAlive: false })

  constructor(
    readonly url: string,
    private readonly model: string,
  ) {}

  /**
   * @throws ServerFailedError if the answer is not what was asked for
   * @throws the signal's reason when aborted
   */
  async complete({ prompt, maxTokens }: ServeRequest, options: StreamOptions = {}): Promise<StreamRecord> {
    const body = JSON.stringify({
      ...{ model: this.model, prompt, max_tokens: maxTokens, temperature: 0, ignore_eos: true },
      ...{ stream: true, stream_options: { include_usage: true } },
    })
    const startedMs = performance.now()
    const stream = await this.#stream(body, options)
    if (stream.completionTokens !== maxTokens || !stream.done || stream.tokensMs.length === 0) {
      throw new ServerFailedError(
        `${this.url} generated ${stream.completionTokens ?? 'an unknown number of'} tokens ` +
          `in ${stream.tokensMs.length} pieces where ${maxTokens} were asked for.`,
      )
    }
    return { startedMs, tokensMs: stream.tokensMs, tokens: maxTokens, cachedTokens: stream.cachedTokens }
  }

  close(): void {
    this.#agent.destroy()
  }

  #stream(body: string, { signal, onTokens }: StreamOptions): Promise<TokenStream> {
    return new Promise((resolve, reject) => {
      const failed = (error: Error) =>
        reject(signal?.aborted ? (signal.reason as Error) : this.#failed(error))
      const request = httpRequest(
        `${this.url}/v1/completions`,
        {
          method: 'POST',
          agent: this.#agent,
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
          ...(signal && { signal }),
        },
        (response) => {
          response.on('error', failed)
          if (response.statusCode !== 200) {
            readText(response).then((text) => failed(this.#refused(response.statusCode, text)), failed)
            return
          }
          const stream = new TokenStream()
          response.on('data', (piece: Buffer) => {
            try {
              stream.push(piece, performance.now())
            } catch (error) {
              failed(error as Error)
              request.destroy()
              return
            }
            onTokens?.(stream.tokensMs)
          })
          response.on('end', () => resolve(stream))
        },
      )
      request.on('error', failed)
      request.setNoDelay(true)
      request.end(body)
    })
  }

  #failed(error: Error): Error {
    if (error instanceof ServerFailedError) return error
    return new ServerFailedError(`${this.url} broke off: ${error.message}`, undefined, { cause: error })
  }

  #refused(status: number | undefined, text: string): Error {
    return new ServerFailedError(`${this.url} answered with status ${status}: ${text.slice(0, 500)}`)
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of response) pieces.push(piece as Buffer)
  return Buffer.concat(pieces).toString()
}
