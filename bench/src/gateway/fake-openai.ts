import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface ChatRequest {
  readonly model: string
  readonly max_tokens: number
  readonly stream?: boolean
}

const word = ' the'
const created = 1_700_000_000

const head = (object: string, model: string) => ({ id: 'chatcmpl-fake', object, created, model })

/** The whole answer of an OpenAI-compatible server that had nothing to compute. */
export function fakeCompletion({ model, max_tokens: tokens }: ChatRequest): string {
  const message = { role: 'assistant', content: word.repeat(tokens) }
  return JSON.stringify({
    ...head('chat.completion', model),
    choices: [{ index: 0, message, finish_reason: 'length' }],
    usage: { prompt_tokens: 12, completion_tokens: tokens, total_tokens: 12 + tokens },
  })
}

/** The same as events, one for each token. */
export function fakeEvents({ model, max_tokens: tokens }: ChatRequest): readonly string[] {
  const event = (delta: object, finish: string | null) =>
    `data: ${JSON.stringify({
      ...head('chat.completion.chunk', model),
      choices: [{ index: 0, delta, finish_reason: finish }],
    })}\n\n`
  return [
    event({ role: 'assistant', content: '' }, null),
    ...Array.from({ length: tokens }, () => event({ content: word }, null)),
    event({}, 'length'),
    'data: [DONE]\n\n',
  ]
}

/** An upstream that answers at once: what remains is what a gateway in front of it costs. */
export class FakeOpenAi {
  readonly calls = { start: () => this.#start() }

  #start(): Promise<{ readonly url: string }> {
    const server = createServer((request, response) => void this.#answer(request, response))
    server.keepAliveTimeout = 60_000
    return new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        resolve({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` })
      })
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece as Buffer)
    const asked = JSON.parse(Buffer.concat(pieces).toString()) as ChatRequest
    if (asked.stream) {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      // Tokens come one by one, as from an engine, however little time lies between them.
      for (const event of fakeEvents(asked)) {
        response.write(event)
        await new Promise((resolve) => setImmediate(resolve))
      }
      response.end()
      return
    }
    const body = fakeCompletion(asked)
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    })
    response.end(body)
  }
}
