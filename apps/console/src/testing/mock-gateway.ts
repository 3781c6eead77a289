import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { requestId } from './mock-history.ts'

const answer = `A **ring** passes each token from machine to machine:

1. the first stage embeds it,
2. every stage adds its layers,
3. the last one picks the next token.

\`\`\`ts
const next = sample(logits, { temperature })
\`\`\`

<script>alert('this stays text')</script> ![picture](https://example.org/x.png)`

const tokenMs = 12

/** Streams one fixed answer as a gateway would. */
export async function answerCompletion(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const headers = {
    'access-control-allow-origin': request.headers.origin ?? '*',
    'access-control-allow-headers': 'authorization, content-type',
    'access-control-expose-headers': 'x-request-id',
    'x-request-id': requestId(2),
  }
  if (request.method === 'OPTIONS') {
    response.writeHead(204, headers).end()
    return
  }
  if (request.headers.authorization?.startsWith('Bearer deos_t_') !== true) {
    response.writeHead(401, { ...headers, 'content-type': 'application/json' })
    response.end(JSON.stringify({ error: { message: 'A key is needed.' } }))
    return
  }
  response.writeHead(200, { ...headers, 'content-type': 'text/event-stream' })
  const send = (chunk: unknown) => response.write(`data: ${JSON.stringify(chunk)}\n\n`)
  const words = answer.split(/(?<=\s)/)
  for (const content of words) {
    if (response.destroyed) return
    send({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })
    await sleep(tokenMs)
  }
  send({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
  send({ choices: [], usage: { prompt_tokens: 21, completion_tokens: words.length } })
  response.end('data: [DONE]\n\n')
}
