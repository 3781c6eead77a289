import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export const commit = 'c0ffee'.padEnd(40, '0')

/** What a fake hub does with a request for a file instead of answering it. */
export type Trouble =
  | { readonly kind: 'break off'; readonly afterBytes: number }
  | { readonly kind: 'hang'; readonly afterBytes: number }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'wrong bytes' }
  | { readonly kind: 'redirect'; readonly to: string }
  | { readonly kind: 'no ranges' }

interface Asked {
  readonly path: string
  readonly range: string | null
  readonly authorization: string | null
}

const sha = (algorithm: string, bytes: Uint8Array | string) =>
  createHash(algorithm).update(bytes).digest('hex')

/** A hub on this machine that has some repositories and can be told to misbehave. */
export class FakeHub {
  readonly asked: Asked[] = []
  /** Taken one after another by requests for files. */
  readonly troubles: Trouble[] = []
  /** Digests that the hub lists instead of the right ones. */
  readonly listedSha256 = new Map<string, string>()
  readonly #server: Server

  private constructor(private readonly repositories: Readonly<Record<string, ReadonlyMap<string, Buffer>>>) {
    this.#server = createServer((request, answer) => this.#answer(request, answer))
  }

  static async start(repositories: Readonly<Record<string, ReadonlyMap<string, Buffer>>>): Promise<FakeHub> {
    const hub = new FakeHub(repositories)
    await new Promise<void>((resolve) => hub.#server.listen(0, '127.0.0.1', resolve))
    return hub
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get url(): string {
    return `http://${this.host}`
  }

  /** Of files, without lists. */
  get downloads(): readonly Asked[] {
    return this.asked.filter(({ path }) => path.includes('/resolve/'))
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #answer({ url = '', headers }: IncomingMessage, answer: ServerResponse): void {
    const path = decodeURIComponent(new URL(url, this.url).pathname)
    const { range = null, authorization = null } = headers
    this.asked.push({ path, range, authorization })
    const [, repository = '', rest = ''] = /^(?:\/api\/models)?\/([^/]+\/[^/]+)\/(.+)$/.exec(path) ?? []
    const files = this.repositories[repository]
    const bytes = files?.get(rest.slice(`resolve/${commit}/`.length))
    if (files === undefined) this.#json(answer, 404, { error: 'Repository not found' })
    else if (rest.startsWith('revision/')) this.#json(answer, 200, { _id: '1', id: repository, sha: commit })
    else if (rest.startsWith('tree/')) {
      this.#json(
        answer,
        200,
        [...files].map(([name, content]) => this.#entry(name, content)),
      )
    } else if (bytes === undefined) this.#json(answer, 404, { error: 'Entry not found' })
    else this.#file(answer, bytes, range)
  }

  /** Weights lie in large file storage, the rest in git. */
  #entry(path: string, bytes: Buffer): unknown {
    const large = /\.(gguf|safetensors)$/.test(path)
    const oid = sha('sha1', Buffer.concat([Buffer.from(`blob ${bytes.length}\0`), bytes]))
    const lfs = {
      oid: this.listedSha256.get(path) ?? sha('sha256', bytes),
      size: bytes.length,
      pointerSize: 130,
    }
    return {
      type: 'file',
      path,
      size: bytes.length,
      oid: large ? '0'.repeat(40) : oid,
      ...(large ? { lfs } : {}),
    }
  }

  #file(answer: ServerResponse, whole: Buffer, range: string | null): void {
    const trouble = this.troubles.shift()
    if (trouble?.kind === 'status') {
      answer.writeHead(trouble.status).end()
      return
    }
    if (trouble?.kind === 'redirect') {
      answer.writeHead(302, { location: trouble.to }).end()
      return
    }
    const first = trouble?.kind === 'no ranges' ? 0 : Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0)
    const bytes = Buffer.from(whole.subarray(first))
    if (trouble?.kind === 'wrong bytes') bytes[bytes.length - 1]! ^= 1
    const about = { 'content-length': bytes.length, 'accept-ranges': 'bytes' }
    if (first === 0) answer.writeHead(200, about)
    else
      answer.writeHead(206, {
        ...about,
        'content-range': `bytes ${first}-${whole.length - 1}/${whole.length}`,
      })
    if (trouble?.kind === 'hang') answer.write(bytes.subarray(0, trouble.afterBytes))
    else if (trouble?.kind !== 'break off') answer.end(bytes)
    else answer.write(bytes.subarray(0, trouble.afterBytes), () => setImmediate(() => answer.destroy()))
  }

  #json(answer: ServerResponse, status: number, value: unknown): void {
    answer.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  }
}
