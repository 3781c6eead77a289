export interface AnswerRequest {
  readonly gatewayUrl: string
  readonly key: string
  readonly model: string
  readonly maxTokens: number
  readonly prompt?: string
}

export interface StreamedAnswer {
  readonly text: string
  readonly usage: {
    readonly prompt_tokens: number
    readonly completion_tokens: number
    readonly prompt_tokens_details?: { readonly cached_tokens?: number }
  }
  /** The longest time that nothing came. */
  readonly longestPauseMs: number
}

/** A request that was not begun. */
export class RefusedError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(`${status} ${code}: ${message}`)
  }

  static async of(response: Response): Promise<RefusedError> {
    const { error } = (await response.json()) as { error: { code: string; message: string } }
    return new RefusedError(response.status, error.code, error.message)
  }
}

interface Chunk {
  readonly choices?: readonly { readonly text: string }[]
  readonly usage?: StreamedAnswer['usage'] | null
  readonly error?: { readonly message: string }
}

const bodyOf = ({ model, prompt = 'Ownership in Rust', maxTokens }: AnswerRequest) => ({
  ...{ model, prompt, max_tokens: maxTokens, temperature: 0, ignore_eos: true },
})

const post = ({ gatewayUrl, key }: AnswerRequest, body: object) =>
  fetch(`${gatewayUrl}/v1/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

/** A whole answer at once. */
export const ask = (request: AnswerRequest): Promise<Response> => post(request, bodyOf(request))

/**
 * Streams an answer that always has the same text.
 *
 * @param onPiece - told the number of pieces that have come
 * @throws RefusedError; Error if it ends with an error, or before its end
 */
export async function streamAnswer(
  request: AnswerRequest,
  onPiece: (count: number) => void = () => undefined,
): Promise<StreamedAnswer> {
  const response = await post(request, {
    ...bodyOf(request),
    stream: true,
    stream_options: { include_usage: true },
  })
  if (!response.ok) throw await RefusedError.of(response)
  let text = ''
  let usage: StreamedAnswer['usage'] | null = null
  let count = 0
  let lastMs = performance.now()
  let longestPauseMs = 0
  for await (const chunk of chunksOf(response)) {
    if (chunk.error !== undefined) throw new Error(chunk.error.message)
    longestPauseMs = Math.max(longestPauseMs, performance.now() - lastMs)
    lastMs = performance.now()
    text += chunk.choices?.[0]?.text ?? ''
    usage = chunk.usage ?? usage
    count += 1
    onPiece(count)
  }
  if (usage === null) throw new Error(`The answer broke off after ${count} pieces.`)
  return { text, usage, longestPauseMs }
}

async function* chunksOf(response: Response): AsyncGenerator<Chunk> {
  let rest = ''
  for await (const bytes of response.body!.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + bytes).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.startsWith('data: {')) yield JSON.parse(line.slice(6)) as Chunk
  }
}
