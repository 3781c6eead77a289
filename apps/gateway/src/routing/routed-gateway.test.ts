import { describe, expect, test } from 'vitest'
import { InstantRings, sayTo } from '../testing/instant-ring.ts'
import { pricesOf, targetOf } from '../testing/scripted-control-plane.ts'
import { until } from '../testing/start-gateway.ts'
import { type RoutedGatewaySetup, startRoutedGateway } from '../testing/start-routed-gateway.ts'

const chat = (model = 'bytes', more: Record<string, unknown> = {}) => ({
  model,
  messages: [{ role: 'user', content: 'hi' }],
  max_tokens: 20,
  ...more,
})
const completions = '/v1/chat/completions'

async function start(setup: Partial<RoutedGatewaySetup> & { readonly rings?: InstantRings } = {}) {
  const rings = setup.rings ?? new InstantRings()
  const started = await startRoutedGateway({
    openRing: rings.open,
    prepare: (control) => {
      control.grant('deos_k_a')
      control.grant('deos_k_b', { organisationId: 'org-b', projectId: 'project-b', keyId: 'key-b' })
      control.route(
        targetOf({ aliases: ['gpt-4'] }),
        targetOf({ organisation: 'org-b', name: 'secret', rings: ['ring-b'] }),
      )
    },
    ...setup,
  })
  await until(() => rings.rings.size > 0)
  return { ...started, rings }
}

describe('names', () => {
  test('each organisation has its own, in every dialect', async () => {
    const { get, post } = await start()
    const names = async (key: string) => {
      const list = (await (await get('/v1/models', key)).json()) as { data: { id: string }[] }
      const tags = (await (await get('/api/tags', key)).json()) as { models: { name: string }[] }
      expect(tags.models.map(({ name }) => name)).toEqual(list.data.map(({ id }) => id))
      return list.data.map(({ id }) => id)
    }
    expect(await names('deos_k_a')).toEqual(['bytes', 'gpt-4'])
    expect(await names('deos_k_b')).toEqual(['secret'])
    expect((await get('/v1/models/gpt-4', 'deos_k_a')).status).toBe(200)
    expect((await get('/v1/models/secret', 'deos_k_a')).status).toBe(404)

    const messages = [{ role: 'user', content: 'hi' }]
    for (const [path, body] of [
      [completions, { messages }],
      ['/v1/completions', { prompt: 'hi' }],
      ['/v1/responses', { input: 'hi' }],
      ['/v1/embeddings', { input: 'hi' }],
      ['/v1/messages', { messages, max_tokens: 9 }],
      ['/api/chat', { messages, stream: false }],
      ['/api/embed', { input: 'hi' }],
    ] as const) {
      expect([path, (await post(path, 'deos_k_a', { model: 'secret', ...body })).status]).toEqual([path, 404])
      expect([path, (await post(path, 'deos_k_a', { model: 'gpt-4', ...body })).status]).toEqual([path, 200])
      expect([path, (await post(path, 'deos_k_b', { model: 'secret', ...body })).status]).toEqual([path, 200])
    }
  })

  test('health and the start page name nobody’s models', async () => {
    const { url } = await start()
    const health = await (await fetch(`${url}/health`)).text()
    const page = await (await fetch(url)).text()
    expect(JSON.parse(health)).toMatchObject({ ready: true, targets: 2, replicas: { ready: 2, listed: 2 } })
    for (const text of [health, page]) expect(text).not.toMatch(/secret|gpt-4|org-/)
  })
})

describe('keys', () => {
  test('are needed, looked up once, and void when access changes', async () => {
    const { post, control, url } = await start()
    expect((await fetch(`${url}/v1/models`)).status).toBe(401)
    expect((await post(completions, 'deos_k_unknown', chat())).status).toBe(401)
    for (let request = 0; request < 5; request += 1) {
      expect((await post(completions, 'deos_k_a', chat())).status).toBe(200)
    }
    const byHeader = await fetch(`${url}/v1/models`, { headers: { 'x-api-key': 'deos_k_a' } })
    expect(byHeader.status).toBe(200)
    expect(control.asked).toHaveLength(2)

    control.grants.clear()
    expect((await post(completions, 'deos_k_a', chat())).status).toBe(200)
    control.bumpAccess()
    let status = 200
    while (status === 200) status = (await post(completions, 'deos_k_a', chat())).status
    expect(status).toBe(401)
  })

  test('without the right to use models are refused', async () => {
    const { post } = await start({
      prepare: (control) => {
        control.grant('deos_k_a', { scopes: ['read'] })
        control.grant('deos_k_old', { expiresAt: '2020-01-01T00:00:00Z' })
        control.route(targetOf())
      },
    })
    const refused = await post(completions, 'deos_k_a', chat())
    expect(refused.status).toBe(403)
    expect(await refused.json()).toMatchObject({ error: { code: 'insufficient_scope' } })
    expect((await post(completions, 'deos_k_old', chat())).status).toBe(401)
  })

  test('known ones keep working while the control plane is away, new ones are asked to wait', async () => {
    const { post, control, serving } = await start({ options: { keyFreshMs: 1, keyStaleLimitMs: 60_000 } })
    expect((await post(completions, 'deos_k_a', chat())).status).toBe(200)
    control.away = true
    await until(() => !(serving.state().details.control_plane as { connected: boolean }).connected)
    expect((await post(completions, 'deos_k_a', chat())).status).toBe(200)
    const fresh = await post(completions, 'deos_k_b', chat('secret'))
    expect(fresh.status).toBe(503)
    expect(Number(fresh.headers.get('retry-after'))).toBeGreaterThan(0)

    control.away = false
    control.grant('deos_k_c')
    await until(() => (serving.state().details.control_plane as { connected: boolean }).connected)
    await until(() => control.recorded.length >= 2)
    let status = 0
    while (status !== 200) status = (await post(completions, 'deos_k_c', chat())).status
  })

  test('beyond the limit of staleness nothing is served', async () => {
    const { post, control } = await start({ options: { keyFreshMs: 0, keyStaleLimitMs: 0 } })
    expect((await post(completions, 'deos_k_a', chat())).status).toBe(200)
    control.away = true
    expect((await post(completions, 'deos_k_a', chat())).status).toBe(503)
  })
})

describe('limits', () => {
  test('hold for 200 requests at once, shared among gateways', async () => {
    const { post, control, rings } = await start({
      prepare: (control) => {
        control.gateways = 2
        control.grant('deos_k_a', { keyRateLimit: { requestsPerMinute: 60, tokensPerMinute: null } })
        control.route(targetOf())
      },
    })
    await until(() => control.reports.length > 0)
    const responses = await Promise.all(
      Array.from({ length: 200 }, () => post(completions, 'deos_k_a', chat())),
    )
    const served = responses.filter(({ status }) => status === 200)
    const refused = responses.filter(({ status }) => status === 429)
    expect([served.length, refused.length]).toEqual([30, 170])
    expect(rings.get('ring-1').opened).toHaveLength(30)
    const { headers } = refused[0]!
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
    expect(headers.get('x-ratelimit-limit-requests')).toBe('60')
    expect(headers.get('x-ratelimit-remaining-requests')).toBe('0')
    expect(served[0]!.headers.get('x-ratelimit-limit-requests')).toBe('60')
  })

  test('of tokens count what is asked for, and then what was used', async () => {
    const { post } = await start({
      prepare: (control) => {
        control.grant('deos_k_a', { projectRateLimit: { requestsPerMinute: null, tokensPerMinute: 100 } })
        control.route(targetOf())
      },
    })
    // Prompt "user:hi\n" has 8 tokens, "hello" and its end have 6.
    const first = await post(completions, 'deos_k_a', chat('bytes', { max_tokens: 80 }))
    expect(first.status).toBe(200)
    await first.text()
    const second = await post(completions, 'deos_k_a', chat('bytes', { max_tokens: 78 }))
    expect(second.status).toBe(200)
    await second.text()
    const third = await post(completions, 'deos_k_a', chat('bytes', { max_tokens: 78 }))
    expect(third.status).toBe(429)
    expect(await third.json()).toMatchObject({ error: { type: 'rate_limit_error' } })
    const never = await post(completions, 'deos_k_a', chat('bytes', { max_tokens: 200 }))
    expect(((await never.json()) as { error: { message: string } }).error.message).toMatch('208 tokens')
  })
})

describe('money', () => {
  const prices = pricesOf(1_000_000, 100_000, 5_000_000)
  const priced = (setup: Partial<RoutedGatewaySetup> = {}) =>
    start({
      prepare: (control) => {
        control.grant('deos_k_a')
        control.route(targetOf({ prices }))
      },
      ...setup,
    })

  test('the most is held before, and what it came to is charged after', async () => {
    const rings = new InstantRings()
    rings.onRequest = (request, handlers) => sayTo(request, handlers, 'hello', { cachedTokens: 4 })
    const { post, control } = await priced({ openRing: rings.open, ...{ rings } })
    const response = await post(completions, 'deos_k_a', chat())
    const id = response.headers.get('x-request-id')
    expect(response.status).toBe(200)
    // 8 prompt tokens at 1 and at most 20 of completion at 5 millionths.
    expect(control.reserved).toEqual([{ requestId: id, microUnits: '108', durationMs: 80_000 }])
    await until(() => control.recorded.length === 1)
    // 4 computed, 4 cached at a tenth, 6 generated: 4 + 0.4 + 30, rounded up.
    expect(control.recorded[0]).toMatchObject({
      id,
      status: 200,
      streamed: false,
      promptTokens: 8,
      cachedPromptTokens: 4,
      completionTokens: 6,
      cost: { currency: 'USD', microUnits: '35' },
      reserved: true,
      organisationId: 'org-a',
      keyId: 'key-a',
      replicaId: 'replica-ring-1',
      deploymentId: 'deployment-org-a-bytes',
      timeline: [{ phase: 'queue' }, { phase: 'prefill' }, { phase: 'decode' }],
    })
  })

  test('the context’s rest is the most where nothing was said', async () => {
    const { post, control } = await priced()
    await post(completions, 'deos_k_a', chat('bytes', { max_tokens: undefined, n: 2 }))
    expect(control.reserved[0]!.microUnits).toBe(String(8 + 2 * 504 * 5))
  })

  test('without money nothing begins, and each dialect says so in its own words', async () => {
    const { post, control, rings } = await priced()
    control.budgetLeft = false
    const openAi = await post(completions, 'deos_k_a', chat('bytes', { stream: true }))
    expect(openAi.status).toBe(402)
    expect(await openAi.json()).toMatchObject({
      error: { type: 'insufficient_quota', code: 'insufficient_quota' },
    })
    const anthropic = await post('/v1/messages', 'deos_k_a', chat())
    expect(anthropic.status).toBe(402)
    expect(await anthropic.json()).toMatchObject({ type: 'error', error: { type: 'billing_error' } })
    expect(rings.get('ring-1').opened).toEqual([])
    await until(() => control.recorded.length === 2)
    expect(control.recorded).toMatchObject([
      { status: 402, reserved: false, cost: { microUnits: '0' } },
      { status: 402, reserved: false, cost: { microUnits: '0' } },
    ])
  })

  test('what failed without an answer costs nothing', async () => {
    const rings = new InstantRings()
    rings.onRequest = (_request, handlers) => handlers.onFailed('deadline', 'too late')
    const { post, control } = await priced({ openRing: rings.open, ...{ rings } })
    expect((await post(completions, 'deos_k_a', chat())).status).toBe(504)
    await until(() => control.recorded.length === 1)
    expect(control.recorded[0]).toMatchObject({ status: 504, reserved: true, cost: { microUnits: '0' } })
  })

  test('vectors cost their prompt', async () => {
    const { post, control } = await priced()
    expect((await post('/v1/embeddings', 'deos_k_a', { model: 'bytes', input: ['hi', 'you'] })).status).toBe(
      200,
    )
    // "hi" and "you" with a token before each.
    expect(control.reserved[0]!.microUnits).toBe('7')
    await until(() => control.recorded.length === 1)
    expect(control.recorded[0]).toMatchObject({
      promptTokens: 7,
      completionTokens: 0,
      cost: { microUnits: '7' },
    })
  })

  test('a client that leaves pays for what it got', async () => {
    const rings = new InstantRings()
    rings.onRequest = (request, handlers) => sayTo(request, handlers, 'hello', { end: 3 })
    const { url, control } = await priced({ openRing: rings.open, ...{ rings } })
    const leaving = new AbortController()
    const response = await fetch(`${url}${completions}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer deos_k_a' },
      body: JSON.stringify(chat('bytes', { stream: true })),
      signal: leaving.signal,
    })
    await response.body!.getReader().read()
    await until(() => rings.get('ring-1').opened.length === 1)
    leaving.abort()
    await until(() => control.recorded.length === 1)
    expect(control.recorded[0]).toMatchObject({
      status: 499,
      streamed: true,
      completionTokens: 3,
      cost: { microUnits: String(8 + 15) },
    })
    expect(rings.get('ring-1').cancelled).not.toEqual([])
  })

  test('free deployments reserve nothing, and clients do not choose ids', async () => {
    const { post, control } = await start()
    const response = await post(completions, 'deos_k_a', chat(), { 'x-request-id': 'mine' })
    const id = response.headers.get('x-request-id')
    expect(id).not.toBe('mine')
    expect(control.reserved).toEqual([])
    await until(() => control.recorded.length === 1)
    expect(control.recorded[0]).toMatchObject({ id, reserved: false, cost: { microUnits: '0' } })
  })

  test('records wait for a control plane that is away, and are handed over on drain', async () => {
    const { post, control, serving } = await priced()
    const response = await post(completions, 'deos_k_a', chat())
    control.away = true
    await response.text()
    expect((await post(completions, 'deos_k_a', chat())).status).toBe(503)
    expect(control.recorded).toEqual([])
    control.away = false
    await serving.drain(AbortSignal.timeout(10_000))
    expect(control.recorded.map(({ status }) => status).sort()).toEqual([200, 503])
  })
})
