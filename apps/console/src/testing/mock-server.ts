import { setMaxListeners } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, relative } from 'node:path'
import { type Role, routes } from '@deos/api'
import { MockApi } from '@deos/api/testing'
import { answerCompletion } from './mock-gateway.ts'
import { mockHandlers, type Scenario } from './mock-handlers.ts'

export interface MockServerOptions {
  /** The built console: `dist/console`. */
  readonly folder: string
  readonly scenario?: Scenario
  readonly role?: Role
  readonly nowMs?: number
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

function listen(listener: RequestListener): Promise<{ readonly server: Server; readonly url: string }> {
  return new Promise((resolve) => {
    const server = createServer(listener)
    server.listen(0, '127.0.0.1', () => {
      resolve({ server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
    })
  })
}

const close = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

/** The console and an API that answers as a whole installation would, without one; a gateway beside it. */
export class MockServer {
  readonly url: string
  readonly api: MockApi<typeof routes>
  readonly #servers: readonly Server[]
  readonly #ended: AbortController

  private constructor(
    url: string,
    api: MockApi<typeof routes>,
    servers: readonly Server[],
    ended: AbortController,
  ) {
    this.url = url
    this.api = api
    this.#servers = servers
    this.#ended = ended
  }

  static async start({
    folder,
    scenario = 'full',
    role = 'owner',
    nowMs = Date.now(),
  }: MockServerOptions): Promise<MockServer> {
    const files = await readFiles(folder)
    const ended = new AbortController()
    // Every stream listens, and a page has several.
    setMaxListeners(0, ended.signal)
    const gateway = await listen((request, response) => void answerCompletion(request, response))
    const handling: { listener: RequestListener } = { listener: (_, response) => response.end() }
    const { server, url } = await listen((request, response) => handling.listener(request, response))
    const gatewayUrl = `${gateway.url}/v1`
    const api = new MockApi(
      routes,
      mockHandlers({ scenario, role, nowMs, gatewayUrl, consoleUrl: url, signal: ended.signal }),
    )
    const policy = [
      "default-src 'self'",
      `connect-src 'self' ${gateway.url}`,
      "style-src 'self' 'unsafe-inline'",
      "object-src 'none'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ].join('; ')
    handling.listener = (request, response) => {
      response.setHeader('content-security-policy', policy)
      const isApi = request.url?.startsWith('/api/') === true
      if (isApi) void answerApi(api, request, response)
      else answerFile(files, request, response)
    }
    return new MockServer(url, api, [server, gateway.server], ended)
  }

  async stop(): Promise<void> {
    this.#ended.abort()
    await Promise.all(this.#servers.map(close))
  }
}

async function answerApi(
  api: MockApi<typeof routes>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const text = await bodyOf(request)
  const given = Object.entries(request.headers).map(([name, value]) => [name, String(value)] as const)
  const answer = await api.fetch(request.url ?? '/', {
    method: request.method ?? 'GET',
    headers: Object.fromEntries(given),
    ...(text !== '' && { body: text }),
  })
  response.writeHead(answer.status, { ...Object.fromEntries(answer.headers), 'x-request-id': 'req-01JDMOCK' })
  if (answer.body === null) {
    response.end()
    return
  }
  const reader = answer.body.getReader()
  response.on('close', () => void reader.cancel().catch(() => undefined))
  response.flushHeaders()
  for (;;) {
    const { done, value } = await reader.read()
    if (done || response.destroyed) break
    response.write(value)
  }
  response.end()
}

type Files = ReadonlyMap<string, Buffer>

/** Everything below a folder, by its address: what is built meanwhile changes nothing. */
async function readFiles(folder: string): Promise<Files> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const files = paths.map(async (path) => [`/${relative(folder, path)}`, await readFile(path)] as const)
  return new Map(await Promise.all(files))
}

/** A file of the console; every other address is one of its pages. */
function answerFile(files: Files, request: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(request.url ?? '/', 'http://mock.invalid')
  const name = extname(pathname) === '' ? '/index.html' : pathname
  const bytes = files.get(name)
  if (bytes === undefined) {
    response.writeHead(404).end()
    return
  }
  response.writeHead(200, { 'content-type': types[extname(name)] ?? 'application/octet-stream' }).end(bytes)
}
