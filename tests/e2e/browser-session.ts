import { apiPrefix } from '@deos/sdk'
import { type PlainAnswer, type PlainRequest, send } from './plain-http.ts'

type JsonRequest = Omit<PlainRequest, 'body' | 'path'> & { readonly body?: unknown }

/** A person with a browser: it keeps cookies, and says that the console's own pages ask. */
export class BrowserSession {
  readonly cookies = new Map<string, string>()
  /** As the server sent them. */
  readonly setCookies: string[] = []

  /** @param origin - of the pages; what the server calls itself unless a test says otherwise */
  constructor(
    readonly url: string,
    private readonly origin = url,
  ) {}

  get headers(): Readonly<Record<string, string>> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    return { origin: this.origin, 'sec-fetch-site': 'same-origin', ...(cookie !== '' && { cookie }) }
  }

  /** @param path - below the prefix of the API */
  async send(method: string, path: string, request: JsonRequest = {}): Promise<PlainAnswer> {
    const { body, headers = {} } = request
    const answer = await send(this.url, {
      method,
      path: apiPrefix + path,
      headers: {
        ...this.headers,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    for (const line of answer.headers['set-cookie'] ?? []) this.#take(line)
    return answer
  }

  /** @throws Error unless it is answered with what was asked for */
  async json(method: string, path: string, body?: unknown): Promise<ReturnType<typeof JSON.parse>> {
    const { status, text } = await this.send(method, path, body === undefined ? {} : { body })
    if (status >= 400) throw new Error(`${method} ${path}: ${status} ${text}`)
    return text === '' ? null : JSON.parse(text)
  }

  #take(line: string): void {
    this.setCookies.push(line)
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!
    if (value === '' || /max-age=0/i.test(line)) this.cookies.delete(name!)
    else this.cookies.set(name!, value!)
  }
}

/** What stands behind `#token=` in a link. */
export const tokenIn = (link: string): string =>
  new URLSearchParams(new URL(link).hash.slice(1)).get('token')!
