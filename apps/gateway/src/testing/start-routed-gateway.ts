import { seededRandom } from '@deos/domain'
import { createLogger, systemClock, systemIds, type Tracing } from '@deos/service'
import { onTestFinished } from 'vitest'
import { Gateway } from '../gateway.ts'
import type { Backend } from '../inference/backend.ts'
import type { OpenWords } from '../routing/model-shelf.ts'
import type { OpenRing } from '../routing/replica.ts'
import { RoutedServing, type RoutedServingOptions } from '../routing/routed-serving.ts'
import { byteModel } from './byte-model.ts'
import { ScriptedControlPlane } from './scripted-control-plane.ts'
import { until } from './start-gateway.ts'

const options: RoutedServingOptions = {
  id: 'gateway-under-test',
  requestTimeoutMs: 20_000,
  keyFreshMs: 30_000,
  keyStaleLimitMs: 60_000,
  waitPatienceMs: 5_000,
  failoverPatienceMs: 50,
  resumePatienceMs: 5_000,
  maxInterruptions: 5,
  split: 'auto',
  splitBlockTokens: 16,
  splitDeadlineMs: 5_000,
  kvExposedMs: 0,
  kvGoodputBytes: 0,
  kvEnhanceMs: 0,
}

const server = {
  host: '127.0.0.1',
  port: 0,
  corsOrigins: [],
  bodyLimitBytes: 1024 * 1024,
  bufferBytes: 1024 * 1024,
  stallMs: 30_000,
  pingMs: 15_000,
}

/** Any model is the byte model. */
export const openByteWords: OpenWords = async ({ name, fingerprint }) => ({
  id: name,
  fingerprint,
  withBackend: (backend: Backend) => byteModel(backend, { id: name, fingerprint }),
  stop: async () => undefined,
})

export interface RoutedGatewaySetup {
  /** How rings are reached, by name. */
  readonly openRing: OpenRing
  readonly openWords?: OpenWords
  readonly options?: Partial<RoutedServingOptions>
  readonly tracing?: Tracing
  /** What the control plane says before the gateway starts. */
  readonly prepare: (control: ScriptedControlPlane) => void
}

export interface StartedRoutedGateway {
  readonly url: string
  readonly control: ScriptedControlPlane
  readonly serving: RoutedServing
  readonly gateway: Gateway
  get(path: string, key: string): Promise<Response>
  post(path: string, key: string, body: unknown, headers?: Record<string, string>): Promise<Response>
}

/** A gateway that follows a scripted control plane, until the test ends. */
export async function startRoutedGateway(setup: RoutedGatewaySetup): Promise<StartedRoutedGateway> {
  const control = new ScriptedControlPlane()
  setup.prepare(control)
  const logger = createLogger({ name: 'gateway', level: 'silent', format: 'json' })
  const chosen = { ...options, ...setup.options }
  const serving: RoutedServing = new RoutedServing(chosen, {
    client: control.client,
    openRing: setup.openRing,
    openWords: setup.openWords ?? openByteWords,
    tracing: setup.tracing ?? null,
    clock: systemClock,
    wallMs: () => Date.now(),
    random: seededRandom(9),
    logger,
    inFlight: () => gateway.inFlight,
    url: () => gateway.url,
  })
  const gateway: Gateway = new Gateway({ ...server, ...chosen }, serving, {
    logger,
    ids: systemIds,
    clock: systemClock,
  })
  await gateway.start()
  serving.start()
  onTestFinished(async () => {
    await gateway.stop()
    await serving.stop()
  })
  await until(() => serving.state().ready)
  const { url } = gateway
  return {
    url,
    control,
    serving,
    gateway,
    get: (path, key) => fetch(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } }),
    post: (path, key, body, headers) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, ...headers },
        body: JSON.stringify(body),
      }),
  }
}
