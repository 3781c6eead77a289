import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DomainError } from '@deos/domain'
import { fastifyStatic } from '@fastify/static'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

const pageWithoutConsole = `<!doctype html>
<meta charset="utf-8">
<title>DeOS</title>
<p>The control plane runs. Its console was not built: run <code>npm run build</code> and start it again.
<p>The API is described at <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.
`

/** Build tools put a hash of the content into these names, so that a name never changes its content. */
const isHashed = (path: string): boolean => /[\\/]assets[\\/][^\\/]+-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$/.test(path)

/** What a page asks for; a missing one must not be answered with a page. */
const filePattern =
  /^\/assets\/|\.(?:css|gif|html|ico|jpe?g|js|json|map|mjs|png|svg|txt|wasm|webmanifest|webp|woff2?)$/i

/** Pages of the console are drawn in the browser: every address that is no file shows the same document. */
function isPage({ method, url }: FastifyRequest): boolean {
  const [path = ''] = url.split('?')
  return (method === 'GET' || method === 'HEAD') && !filePattern.test(path)
}

export interface ConsoleFiles {
  /** @returns whether it answers: with the console's document, if the address may be one of its pages */
  answer(request: FastifyRequest, reply: FastifyReply): boolean
}

/** A folder was named for the console that does not hold one. */
export class ConsoleFolderError extends DomainError {
  readonly code = 'CONSOLE_FOLDER_WRONG'
  readonly retriable = false
}

/** @throws ConsoleFolderError if there is no built console in the folder */
export function checkConsoleFolder(folder: string): void {
  if (existsSync(join(folder, 'index.html'))) return
  throw new ConsoleFolderError(
    existsSync(folder)
      ? `The console's folder ${resolve(folder)} holds no index.html.`
      : `The console's folder ${resolve(folder)} does not exist.`,
    'Give the folder into which "npm run build" wrote it (dist/console), or leave --console out to run without it.',
  )
}

/** Serves the built console; without one, a page that says so. */
export async function serveConsole(app: FastifyInstance, folder: string | null): Promise<ConsoleFiles> {
  if (folder === null) {
    app.get('/', (_request, reply) => reply.type('text/html; charset=utf-8').send(pageWithoutConsole))
    return { answer: () => false }
  }
  await app.register(fastifyStatic, {
    root: resolve(folder),
    dotfiles: 'ignore',
    index: 'index.html',
    cacheControl: false,
    setHeaders(response, path) {
      response.setHeader('cache-control', isHashed(path) ? 'public, max-age=31536000, immutable' : 'no-cache')
    },
  })
  return {
    answer(request, reply) {
      if (!isPage(request)) return false
      reply.code(200).sendFile('index.html')
      return true
    },
  }
}
