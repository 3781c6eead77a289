import type { RingUsage } from '@deos/protocol'
import type { FastifyInstance } from 'fastify'
import type { Backend } from '../inference/backend.ts'
import type { GatewayMetrics } from '../metrics.ts'

/** What a gateway tells of itself to whoever asks, without a key. */
export interface GatewayState {
  readonly ready: boolean
  /** Fields of `/health` beside `status` and `ready`; JSON with names in snake_case. */
  readonly details: Readonly<Record<string, unknown>>
}

export interface OperationsServices {
  readonly state: () => GatewayState
  /** Names that everybody may know. */
  readonly models: readonly string[]
  readonly metrics: GatewayMetrics
  readonly draining: () => boolean
  /** Where clients reach this server. */
  readonly url: () => string
  readonly keyRequired: boolean
}

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

/** `'` ends a shell's quoting; names come from the operator, but the line is made to be pasted. */
const quoteShell = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

function exampleCurl({ url, models, keyRequired }: OperationsServices): string {
  const body = JSON.stringify({
    model: models[0] ?? '<model>',
    messages: [{ role: 'user', content: 'Hello' }],
    stream: true,
  })
  const key = keyRequired ? ' -H "authorization: Bearer $DEOS_API_KEY"' : ''
  return `curl -N ${url()}/v1/chat/completions -H 'content-type: application/json'${key} -d ${quoteShell(body)}`
}

/** One model for `/health`. */
export function modelHealth(id: string, backend: Backend) {
  const { ready, active, queued, contextLength, usage, details } = backend.status()
  const kv = usage && kvHealth(usage)
  return { id, ready, active, queued, context_length: contextLength, kv, ...details }
}

/** Sums count since the ring's leader started. */
const kvHealth = (usage: RingUsage) => ({
  pages: usage.pages,
  pages_free: usage.pagesFree,
  pages_cached: usage.pagesCached,
  prompt_tokens: usage.promptTokens,
  cached_tokens: usage.cachedTokens,
  generated_tokens: usage.generatedTokens,
  evictions: usage.evictions,
  preemptions: usage.preemptions,
  recomputed_tokens: usage.recomputedTokens,
})

function health({ state, draining }: OperationsServices) {
  const { ready: able, details } = state()
  const ready = !draining() && able
  return { status: draining() ? 'stopping' : ready ? 'ready' : 'not_ready', ready, ...details }
}

/** `/health`, `/metrics`, and at `/` a word about what this is. */
export function registerOperations(app: FastifyInstance, services: OperationsServices): void {
  app.get('/health', async (_request, reply) => {
    const body = health(services)
    if (!body.ready) reply.code(503).header('retry-after', '1')
    return body
  })

  app.get('/metrics', async (_request, reply) =>
    reply.type(services.metrics.contentType).send(await services.metrics.text()),
  )

  app.get('/', async (request, reply) => {
    const curl = exampleCurl(services)
    if (!/\btext\/html\b/.test(request.headers.accept ?? '')) {
      return {
        name: 'DeOS gateway',
        description: 'APIs as OpenAI, Anthropic and Ollama have them, over a ring of workers.',
        models: services.models,
        endpoints: [
          ...['/v1/models', '/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/embeddings'],
          ...['/v1/messages', '/api/chat', '/api/generate', '/api/embed', '/api/tags'],
          ...['/health', '/metrics'],
        ],
        example: curl,
      }
    }
    return reply
      .type('text/html; charset=utf-8')
      .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
      .send(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>DeOS gateway</title>' +
          '<body style="font: 16px system-ui; margin: 3rem auto; max-width: 50rem; padding: 0 1rem">' +
          '<h1>DeOS gateway</h1><p>An OpenAI-compatible API over a ring of workers. Try it:</p>' +
          `<pre style="white-space: pre-wrap">${escapeHtml(curl)}</pre>` +
          '<p><a href="/v1/models">models</a> · <a href="/health">health</a> · <a href="/metrics">metrics</a></p>',
      )
  })
}
