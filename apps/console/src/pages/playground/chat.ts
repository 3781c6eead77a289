import { useCallback, useEffect, useRef, useState } from 'react'
import { useClient } from '../../data/session.tsx'
import { type CompletionPart, complete, type Turn } from './completion.ts'

/** One exchange with what was measured of it, here. */
export interface Exchange {
  readonly id: string
  readonly prompt: string
  readonly answer: string
  readonly state: 'waiting' | 'streaming' | 'done' | 'stopped' | 'failed'
  readonly error: Error | null
  readonly requestId: string | null
  readonly ttftMs: number | null
  readonly tokensPerSecond: number | null
  readonly promptTokens: number | null
  readonly completionTokens: number | null
  readonly finishReason: string | null
}

export interface ChatOptions {
  readonly gatewayUrl: string
  readonly model: string
  readonly system: string
  readonly temperature: number
  readonly maxTokens: number
}

const spareMs = 60_000

/** Tokens of short life for the gateway, renewed before they end. */
function useInferenceToken(): () => Promise<string> {
  const client = useClient()
  const held = useRef<{ readonly token: string; readonly endsAtMs: number } | null>(null)
  return useCallback(async () => {
    if (held.current === null || held.current.endsAtMs - spareMs < Date.now()) {
      const { token, expiresAt } = await client.session.inferenceToken()
      held.current = { token, endsAtMs: Date.parse(expiresAt) }
    }
    return held.current.token
  }, [client])
}

const turnsOf = (system: string, exchanges: readonly Exchange[], prompt: string): readonly Turn[] => [
  ...(system.trim() === '' ? [] : [{ role: 'system' as const, content: system }]),
  ...exchanges
    .filter(({ answer }) => answer !== '')
    .flatMap(({ prompt: asked, answer }) => [
      { role: 'user' as const, content: asked },
      { role: 'assistant' as const, content: answer },
    ]),
  { role: 'user', content: prompt },
]

/** A conversation. Parts of an answer are shown once a frame, however fast they come. */
export function useChat() {
  const token = useInferenceToken()
  const [exchanges, setExchanges] = useState<readonly Exchange[]>([])
  const running = useRef<AbortController | null>(null)
  const current = useRef<readonly Exchange[]>([])
  current.current = exchanges
  useEffect(() => () => running.current?.abort(), [])

  const update = useCallback((id: string, change: (exchange: Exchange) => Partial<Exchange>) => {
    setExchanges((known) =>
      known.map((exchange) => (exchange.id === id ? { ...exchange, ...change(exchange) } : exchange)),
    )
  }, [])

  const send = useCallback(
    async (prompt: string, options: ChatOptions) => {
      const id = crypto.randomUUID()
      const controller = new AbortController()
      running.current = controller
      const turns = turnsOf(options.system, current.current, prompt)
      setExchanges((known) => [...known, begun(id, prompt)])
      const meter = new Meter()
      let shown = 0
      let text = ''
      const show = () => {
        shown = 0
        update(id, () => ({
          answer: text,
          state: 'streaming',
          ttftMs: meter.ttftMs,
          tokensPerSecond: meter.tokensPerSecond,
        }))
      }
      const take = (part: CompletionPart) => {
        if (part.kind === 'begun') update(id, () => ({ requestId: part.requestId }))
        if (part.kind === 'finished') update(id, () => ({ finishReason: part.reason }))
        if (part.kind === 'usage') {
          meter.settle(part.completionTokens)
          update(id, () => ({ promptTokens: part.promptTokens, completionTokens: part.completionTokens }))
        }
        if (part.kind !== 'text') return
        text += part.text
        meter.count()
        if (shown === 0) shown = requestAnimationFrame(show)
      }
      try {
        const parts = complete({ ...options, token: await token(), turns, signal: controller.signal })
        for await (const part of parts) take(part)
        cancelAnimationFrame(shown)
        show()
        update(id, () => ({ state: 'done' }))
      } catch (error) {
        cancelAnimationFrame(shown)
        show()
        if (controller.signal.aborted) update(id, () => ({ state: 'stopped' }))
        else
          update(id, () => ({
            state: 'failed',
            error: error instanceof Error ? error : new Error(String(error)),
          }))
      } finally {
        if (running.current === controller) running.current = null
      }
    },
    [token, update],
  )
  const stop = useCallback(() => running.current?.abort(), [])
  const clear = useCallback(() => {
    running.current?.abort()
    setExchanges([])
  }, [])
  return { exchanges, send, stop, clear }
}

const begun = (id: string, prompt: string): Exchange => ({
  id,
  prompt,
  answer: '',
  state: 'waiting',
  error: null,
  requestId: null,
  ttftMs: null,
  tokensPerSecond: null,
  promptTokens: null,
  completionTokens: null,
  finishReason: null,
})

/** Times of one answer as they arrive here, network included. */
class Meter {
  readonly #startMs = performance.now()
  #firstMs: number | null = null
  #lastMs = 0
  #parts = 0

  count(): void {
    this.#lastMs = performance.now()
    this.#firstMs ??= this.#lastMs
    this.#parts += 1
  }

  /** The gateway counts tokens; parts may hold several. */
  settle(tokens: number): void {
    if (tokens > 0) this.#parts = tokens
  }

  get ttftMs(): number | null {
    return this.#firstMs === null ? null : this.#firstMs - this.#startMs
  }

  /** After the first one. */
  get tokensPerSecond(): number | null {
    const decodeMs = this.#firstMs === null ? 0 : this.#lastMs - this.#firstMs
    return decodeMs > 0 && this.#parts > 1 ? ((this.#parts - 1) / decodeMs) * 1000 : null
  }
}
