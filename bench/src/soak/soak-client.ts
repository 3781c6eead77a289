import { Pool } from 'undici'
import type { TokenReport } from './token-check.ts'

/** What a ring says of its pages, in `/health`. */
export interface PageCounts {
  readonly pages: number
  readonly free: number
  readonly cached: number
  readonly preemptions: number
}

/** Asks a running server as its users do. */
export class SoakClient {
  readonly #pool: Pool

  constructor(
    url: string,
    private readonly model: string,
  ) {
    this.#pool = new Pool(url, { connections: 64, headersTimeout: 0, bodyTimeout: 0 })
  }

  /** A greedy completion with log-probabilities. */
  async report(prompt: string, maxTokens: number): Promise<TokenReport> {
    const body = await this.post('/v1/completions', {
      ...{ prompt, max_tokens: maxTokens, temperature: 0, logprobs: 5 },
    })
    return (body as { choices: readonly { logprobs: TokenReport }[] }).choices[0]!.logprobs
  }

  /** @throws Error with status and body if the answer is an error */
  async post(path: string, fields: Readonly<Record<string, unknown>>): Promise<unknown> {
    const response = await this.#send(path, fields, null)
    const text = await response.body.text()
    if (response.statusCode !== 200) throw new Error(`${path} answered ${response.statusCode}: ${text}`)
    return JSON.parse(text)
  }

  /** Streams a completion and hangs up after some pieces. */
  async hangUp(prompt: string, afterPieces: number): Promise<void> {
    const stop = new AbortController()
    const response = await this.#send(
      '/v1/completions',
      { prompt, max_tokens: 200, temperature: 0.8, stream: true, ignore_eos: true },
      stop.signal,
    )
    if (response.statusCode !== 200) {
      throw new Error(`a stream answered ${response.statusCode}: ${await response.body.text()}`)
    }
    let pieces = 0
    try {
      for await (const _ of response.body) {
        if (pieces++ >= afterPieces) stop.abort()
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error
    }
  }

  async pages(): Promise<PageCounts> {
    const response = await this.#pool.request({ path: '/health', method: 'GET' })
    const body = (await response.body.json()) as {
      readonly models: readonly { readonly kv: Readonly<Record<string, number>> }[]
    }
    const kv = body.models[0]!.kv
    return {
      pages: kv.pages!,
      free: kv.pages_free!,
      cached: kv.pages_cached!,
      preemptions: kv.preemptions!,
    }
  }

  close(): Promise<void> {
    return this.#pool.close()
  }

  #send(path: string, fields: Readonly<Record<string, unknown>>, signal: AbortSignal | null) {
    return this.#pool.request({
      path,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: this.model, ...fields }),
      signal,
    })
  }
}
