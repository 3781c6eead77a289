import { Client, type Dispatcher } from 'undici'
import { UsageError } from '../cli-error.ts'
import { EventStreamReader } from './event-stream.ts'
import { ServerError, ServerUnreachableError, serverError } from './server-errors.ts'

export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
}

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

/** A piece of an answer as it streams. */
export interface AnswerPiece {
  readonly text: string
  readonly finish: string | null
  readonly usage: Usage | null
}

interface Chunk {
  readonly error?: { readonly message?: string; readonly code?: string | null }
  readonly usage?: Usage | null
  readonly choices?: readonly {
    readonly text?: string
    readonly delta?: { readonly content?: string }
    readonly finish_reason?: string | null
  }[]
}

/** Loading a prompt into a slow ring takes a while; the server itself limits how long a request may take. */
const HEADERS_TIMEOUT_MS = 600_000
const CONNECT_TIMEOUT_MS = 5_000

/** @throws UsageError if the text is not the address of an HTTP server */
export function parseServerUrl(text: string): URL {
  const withScheme = /^https?:\/\//i.test(text) ? text : `http://${text}`
  try {
    const url = new URL(withScheme)
    if (url.hostname !== '') return url
  } catch {
    // Told below.
  }
  throw new UsageError(
    `"${text}" is not the address of a server.`,
    'Write for example http://127.0.0.1:8000.',
  )
}

/** An OpenAI-compatible server, as this program uses it. */
export class ServerClient {
  readonly #client: Client
  readonly #headers: Readonly<Record<string, string>>
  readonly #base: string

  constructor(
    readonly url: URL,
    apiKey: string | null,
  ) {
    this.#client = new Client(url.origin, {
      connect: { timeout: CONNECT_TIMEOUT_MS },
      headersTimeout: HEADERS_TIMEOUT_MS,
      bodyTimeout: HEADERS_TIMEOUT_MS,
    })
    // Other clients want `/v1` in their base address; taken here too.
    this.#base = url.pathname.replace(/\/+$/, '').replace(/\/v1$/, '')
    this.#headers = {
      'content-type': 'application/json',
      ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
    }
  }

  /** Whether the server takes requests, or `null` if nobody answers. */
  async ready(): Promise<boolean | null> {
    try {
      const { statusCode, body } = await this.#send('GET', '/health', null)
      await body.dump()
      return statusCode === 200
    } catch (error) {
      if (error instanceof ServerUnreachableError) return null
      throw error
    }
  }

  /** @throws ServerUnreachableError, ServerError */
  async models(): Promise<readonly string[]> {
    const list = (await this.#json('GET', '/v1/models', null)) as { data?: readonly { id: string }[] }
    return (list.data ?? []).map(({ id }) => id)
  }

  /** @throws ServerUnreachableError, ServerError */
  async complete(body: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<AnswerPiece> {
    const { choices, usage } = (await this.#json('POST', '/v1/completions', body, signal)) as Chunk
    const [choice] = choices ?? []
    return { text: choice?.text ?? '', finish: choice?.finish_reason ?? null, usage: usage ?? null }
  }

  /**
   * Streams one answer; ends after the last piece.
   *
   * @param path - `/v1/completions` or `/v1/chat/completions`
   * @throws ServerUnreachableError, ServerError; the signal's reason when aborted
   */
  async *stream(
    path: string,
    body: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): AsyncGenerator<AnswerPiece, void> {
    const request = { ...body, stream: true, stream_options: { include_usage: true } }
    const response = await this.#send('POST', path, request, signal)
    if (response.statusCode !== 200) throw serverError(response.statusCode, await response.body.text())
    const reader = new EventStreamReader()
    const decoder = new TextDecoder()
    for await (const bytes of this.#pieces(response, signal)) {
      for (const data of reader.push(decoder.decode(bytes, { stream: true }))) {
        if (data === '[DONE]') return
        yield readChunk(JSON.parse(data) as Chunk)
      }
    }
    throw new ServerError(0, 'The server closed the connection before the answer was complete.', null)
  }

  async close(): Promise<void> {
    await this.#client.destroy()
  }

  async *#pieces(response: Dispatcher.ResponseData, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
    try {
      for await (const bytes of response.body) yield bytes as Uint8Array
    } catch (error) {
      if (signal.aborted) throw signal.reason
      throw new ServerError(0, `The connection to the server broke: ${(error as Error).message}.`, null)
    }
  }

  async #json(
    method: Dispatcher.HttpMethod,
    path: string,
    body: unknown,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const response = await this.#send(method, path, body, signal)
    const text = await response.body.text()
    if (response.statusCode !== 200) throw serverError(response.statusCode, text)
    try {
      return JSON.parse(text)
    } catch {
      throw new ServerError(
        response.statusCode,
        `${this.url.origin}${path} did not answer with JSON.`,
        null,
        'Is it an OpenAI-compatible server?',
      )
    }
  }

  async #send(
    method: Dispatcher.HttpMethod,
    path: string,
    body: unknown,
    signal?: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    try {
      return await this.#client.request({
        method,
        path: this.#base + path,
        headers: this.#headers,
        body: body === null ? null : JSON.stringify(body),
        ...(signal && { signal }),
      })
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      throw new ServerUnreachableError(this.url.origin, error)
    }
  }
}

function readChunk({ error, choices, usage }: Chunk): AnswerPiece {
  if (error) throw new ServerError(0, error.message ?? 'The server ended the answer.', error.code ?? null)
  const [choice] = choices ?? []
  return {
    text: choice?.text ?? choice?.delta?.content ?? '',
    finish: choice?.finish_reason ?? null,
    usage: usage ?? null,
  }
}
