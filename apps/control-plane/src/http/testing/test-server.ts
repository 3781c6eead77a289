import type { Handlers, Routes } from '@deos/api'
import { createLogger, systemIds } from '@deos/service'
import type { FastifyInstance } from 'fastify'
import type { Caller } from '../caller.ts'
import { type CredentialSources, Credentials } from '../credentials.ts'
import type { Idempotency } from '../idempotency.ts'
import { createHttpServer, type HttpServerOptions } from '../server.ts'
import { stubHandlers } from './stub-handlers.ts'

/** Knows nobody. */
export const noSources: CredentialSources = {
  sessionOf: async () => null,
  membershipsOf: async () => [],
  keyOf: async () => null,
  machineOf: async () => null,
  gatewayToken: null,
}

/** Runs everything anew. */
export const forgetful: Idempotency = { answer: (_call, work) => work() }

export interface TestServerParts extends Partial<HttpServerOptions> {
  readonly handlers?: Handlers<Routes, Caller>
  readonly sources?: Partial<CredentialSources>
  readonly idempotency?: Idempotency
}

export interface TestServer {
  readonly app: FastifyInstance
  /** All that was logged, one JSON line each. */
  readonly logged: string[]
}

/** The real server over stubs. */
export async function createTestServer(parts: TestServerParts = {}): Promise<TestServer> {
  const logged: string[] = []
  const sink = { write: (line: string) => void logged.push(line) }
  const { handlers = stubHandlers(), sources = {}, idempotency = forgetful, ...options } = parts
  const app = await createHttpServer(
    {
      version: '0.1.0',
      publicUrl: 'http://localhost',
      consoleFolder: null,
      trustProxy: false,
      connectSources: () => [],
      ...options,
    },
    {
      handlers,
      credentials: new Credentials({ ...noSources, ...sources }),
      problems: {},
      idempotency,
      logger: createLogger({ name: 'test', level: 'trace', format: 'json' }, sink),
      ids: systemIds,
      operations: (server) => void server.get('/health', async () => ({ ok: true })),
    },
  )
  return { app, logged }
}
