import { HubApiError, listFiles, modelInfo } from '@huggingface/hub'
import { HubError } from './errors.ts'
import type { Outgoing, OutgoingAnswer } from './outgoing.ts'

export const publicHubUrl = 'https://huggingface.co'

/** Of lists and of small files. */
const largestTextBytes = 64 * 1024 * 1024
const mostFiles = 20_000

export interface HubFile {
  readonly name: string
  readonly sizeBytes: number
  /** Of large files. */
  readonly sha256: string | null
  /** Of small ones: SHA-1 of what git stores. */
  readonly gitOid: string | null
}

export interface HubRepository {
  readonly repository: string
  /** As people name it. */
  readonly revision: string
}

/** A Hugging Face hub, or one that speaks the same. */
export class Hub {
  readonly url: string
  readonly #token: { readonly origin: string; readonly value: string } | null

  /** @param token - sent to the hub itself, never to where it redirects */
  constructor(
    private readonly outgoing: Outgoing,
    url: string,
    token: string | null,
  ) {
    this.url = url.replace(/\/+$/, '')
    this.#token = token === null ? null : { origin: new URL(url).origin, value: token }
  }

  /** The commit that a revision is now: its files never change. @throws HubError, OutgoingRefusedError */
  async commitOf({ repository, revision }: HubRepository, signal: AbortSignal): Promise<string> {
    const info = await this.#asking(repository, () =>
      modelInfo({ name: repository, revision, additionalFields: ['sha'], ...this.#params(signal) }),
    )
    if (typeof info.sha === 'string' && /^[0-9a-f]{40,64}$/.test(info.sha)) return info.sha
    throw new HubError(
      `${this.url} does not say which commit ${revision} is.`,
      'Check the address of the hub.',
      false,
    )
  }

  /** @throws HubError, OutgoingRefusedError */
  async files(repository: string, commit: string, signal: AbortSignal): Promise<readonly HubFile[]> {
    return this.#asking(repository, async () => {
      const files: HubFile[] = []
      const listed = listFiles({
        repo: { type: 'model', name: repository },
        revision: commit,
        recursive: true,
        ...this.#params(signal),
      })
      for await (const { type, path, size, oid, lfs } of listed) {
        if (type !== 'file') continue
        if (files.length === mostFiles) {
          throw new HubError(
            `${repository} has more than ${mostFiles} files.`,
            'Take another repository.',
            false,
          )
        }
        files.push(hubFile(path, lfs?.size ?? size, lfs?.oid, oid))
      }
      return files
    })
  }

  /** Some bytes of a file, from `first` on. @throws HubError, OutgoingRefusedError; the signal's reason */
  async download(
    repository: string,
    commit: string,
    name: string,
    first: number,
    signal: AbortSignal,
  ): Promise<OutgoingAnswer> {
    const path = name.split('/').map(encodeURIComponent).join('/')
    return this.outgoing.get(`${this.url}/${repository}/resolve/${commit}/${path}`, {
      // Otherwise lengths and offsets would be those of compressed bytes.
      headers: { 'accept-encoding': 'identity', ...(first > 0 ? { range: `bytes=${first}-` } : {}) },
      token: this.#token,
      signal,
    })
  }

  #params(signal: AbortSignal): { hubUrl: string; fetch: typeof fetch } {
    return { hubUrl: this.url, fetch: ((input) => this.#fetch(String(input), signal)) as typeof fetch }
  }

  /** What the hub's client calls. Its token is ours to add, since it follows links that answers name. */
  async #fetch(url: string, signal: AbortSignal): Promise<Response> {
    const headers = { accept: 'application/json' }
    const answer = await this.outgoing.get(url, { headers, token: this.#token, signal })
    const text = await textOf(answer)
    return new Response(text, { status: answer.status, headers: plainHeaders(answer.headers) })
  }

  async #asking<T>(repository: string, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof HubApiError) throw statusError(repository, error.statusCode, null)
      if (error instanceof SyntaxError || error instanceof TypeError) {
        throw new HubError(
          `${this.url} does not answer as a hub does.`,
          'Check its address.',
          false,
          null,
          error,
        )
      }
      throw error
    }
  }
}

function hubFile(path: unknown, size: unknown, sha256: unknown, gitOid: unknown): HubFile {
  const hex = (value: unknown, digits: number) =>
    typeof value === 'string' && new RegExp(`^[0-9a-f]{${digits}}$`).test(value) ? value : null
  if (typeof path !== 'string' || !Number.isSafeInteger(size) || Number(size) < 0) {
    throw new HubError('The hub lists a file without name or size.', 'Check the address of the hub.', false)
  }
  return { name: path, sizeBytes: Number(size), sha256: hex(sha256, 64), gitOid: hex(gitOid, 40) }
}

/** What an answer other than a file says. */
export function statusError(repository: string, status: number, retryAfterMs: number | null): HubError {
  if (status === 401 || status === 403) {
    return new HubError(
      `The hub does not give ${repository} to this server (status ${status}).`,
      'Accept its terms on the hub and set HF_TOKEN on the control plane, or check the name.',
      false,
    )
  }
  if (status === 404) {
    return new HubError(
      `The hub has no such repository, revision or file: ${repository}.`,
      'Check the names.',
      false,
    )
  }
  const passing = status === 429 || status >= 500
  return new HubError(
    `The hub answered for ${repository} with status ${status}.`,
    'Try again later.',
    passing,
    retryAfterMs,
  )
}

/** Node's own Response checks lengths and encodings that no longer hold. */
const plainHeaders = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).filter(([name]) => ['content-type', 'link', 'x-request-id'].includes(name)),
  )

/** @throws HubError if it is too long, or breaks off */
export async function textOf({ url, body }: OutgoingAnswer): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  try {
    for await (const chunk of body) {
      sizeBytes += chunk.length
      if (sizeBytes > largestTextBytes) break
      chunks.push(chunk)
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new HubError(
      `The answer of ${new URL(url).host} broke off: ${reason}.`,
      'Try again.',
      true,
      null,
      error,
    )
  }
  if (sizeBytes > largestTextBytes) {
    throw new HubError(
      `${new URL(url).host} answers with more than ${largestTextBytes} bytes.`,
      'Check the address.',
      false,
    )
  }
  return Buffer.concat(chunks).toString('utf8')
}
