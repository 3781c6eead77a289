import { createLogger, systemClock, systemIds } from '@deos/service'
import { onTestFinished } from 'vitest'
import { fixedServing, Gateway, type GatewayOptions as ServerOptions } from '../gateway.ts'
import type { TextModel } from '../inference/text-model.ts'
import { byteModel } from './byte-model.ts'
import { type Script, ScriptedBackend } from './scripted-backend.ts'

/** Of the server, and of the one model it serves. */
export interface GatewayOptions extends ServerOptions {
  readonly apiKey: string | null
  readonly adapters: readonly string[]
}

const options: GatewayOptions = {
  host: '127.0.0.1',
  port: 0,
  apiKey: null,
  corsOrigins: [],
  bodyLimitBytes: 1024 * 1024,
  adapters: [],
  requestTimeoutMs: 0,
  bufferBytes: 1024 * 1024,
  stallMs: 30_000,
  pingMs: 15_000,
}

export interface StartedGateway {
  readonly url: string
  readonly backend: ScriptedBackend
  readonly gateway: Gateway
  /** `fetch` of a path with a JSON body, or the body as given when it is text. */
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>
}

/** A gateway on a free port in front of a model, until the test ends. */
export async function serve(model: TextModel, overrides: Partial<GatewayOptions> = {}): Promise<Gateway> {
  const chosen = { ...options, ...overrides }
  const gateway = new Gateway(chosen, fixedServing(model, chosen.adapters, chosen.apiKey), {
    logger: createLogger({ name: 'gateway', level: 'silent', format: 'json' }),
    ids: systemIds,
    clock: systemClock,
  })
  await gateway.start()
  onTestFinished(() => gateway.stop())
  return gateway
}

/** A gateway over a scripted backend. */
export async function startGateway(
  script: Script,
  overrides: { readonly options?: Partial<GatewayOptions>; readonly model?: Partial<TextModel> } = {},
): Promise<StartedGateway> {
  const backend = new ScriptedBackend(script)
  const gateway = await serve(byteModel(backend, overrides.model), overrides.options)
  return {
    url: gateway.url,
    backend,
    gateway,
    post: (path, body, init) =>
      fetch(`${gateway.url}${path}`, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...init,
        headers: { 'content-type': 'application/json', ...init?.headers },
      }),
  }
}

/** Waits, turn by turn, until something holds. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1))
}
