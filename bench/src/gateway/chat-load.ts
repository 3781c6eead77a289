import { Pool } from 'undici'
import { quantile } from '../contract.ts'

/** What is asked, and by how many at once. */
export interface Scenario {
  readonly connections: number
  readonly stream: boolean
  readonly tokens: number
}

export const scenarios: readonly Scenario[] = [1, 32].flatMap((connections) =>
  [false, true].flatMap((stream) => [1, 16].map((tokens) => ({ connections, stream, tokens }))),
)

/** As figures name it: `c32.stream.tokens16`. */
export const nameOf = ({ connections, stream, tokens }: Scenario): string =>
  `c${connections}.${stream ? 'stream' : 'whole'}.tokens${tokens}`

/** A server that answers chat completions. */
export interface ChatTarget {
  /** Without a path. */
  readonly origin: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly model: string
}

export interface ChatLoad {
  readonly requests: number
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** @throws Error if the answer does not have so many tokens, or does not end as it should */
export function checkAnswer(text: string, { stream, tokens }: Scenario): void {
  if (!stream) {
    const { usage } = JSON.parse(text) as { usage?: { completion_tokens?: number } }
    if (usage?.completion_tokens !== tokens) {
      throw new Error(
        `${usage?.completion_tokens ?? 'No'} tokens came where ${tokens} were asked for: ${text}`,
      )
    }
    return
  }
  // Joined tokens may come in one event; what they say together is what counts.
  const words = text.match(/\bthe\b/g)?.length ?? 0
  if (words !== tokens || !text.trimEnd().endsWith('data: [DONE]')) {
    throw new Error(`${words} tokens came where ${tokens} were asked for: ${text}`)
  }
}

/**
 * So many connections, each of which asks again as soon as it is answered, until the time is over.
 *
 * @throws Error if an answer is not what was asked for
 */
export async function chatLoad(
  { origin, path, headers, model }: ChatTarget,
  scenario: Scenario,
  durationMs: number,
): Promise<ChatLoad> {
  const { connections, stream, tokens } = scenario
  const pool = new Pool(origin, { connections, pipelining: 1 })
  const body = JSON.stringify({
    ...{ model, max_tokens: tokens, temperature: 0, stream },
    messages: [{ role: 'user', content: 'Say what a ring of machines is good for.' }],
  })
  const timesMs: number[] = []
  const startedMs = performance.now()
  const ask = async () => {
    while (performance.now() - startedMs < durationMs) {
      const askedMs = performance.now()
      const answer = await pool.request({ method: 'POST', path, headers, body })
      const text = await answer.body.text()
      timesMs.push(performance.now() - askedMs)
      if (answer.statusCode !== 200) throw new Error(`${origin} answered ${answer.statusCode}: ${text}`)
      checkAnswer(text, scenario)
    }
  }
  try {
    await Promise.all(Array.from({ length: connections }, ask))
  } finally {
    await pool.destroy()
  }
  const elapsedMs = performance.now() - startedMs
  return {
    requests: timesMs.length,
    requestsPerSecond: (timesMs.length * 1000) / elapsedMs,
    ...{ p50Ms: quantile(timesMs, 0.5), p99Ms: quantile(timesMs, 0.99) },
  }
}
