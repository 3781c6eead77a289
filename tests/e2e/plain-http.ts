import { type IncomingHttpHeaders, request } from 'node:http'

export interface PlainRequest {
  readonly method?: string
  /** Sent as it is: nothing in it is tidied up. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Whether a stream of events is left only once its first event is there. */
  readonly untilEvent?: boolean
}

export interface PlainAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Of streams of events, which are left once they begin, at most the first event. */
  readonly text: string
}

/** One request without anything that a browser or a fetch would add or refuse. */
export function send(
  url: string,
  { method = 'GET', path, headers = {}, body, untilEvent = false }: PlainRequest,
): Promise<PlainAnswer> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, method, path, headers, agent: false }, (response) => {
      const { statusCode: status = 0, headers } = response
      const chunks: Buffer[] = []
      const finish = () => resolve({ status, headers, text: Buffer.concat(chunks).toString('utf8') })
      const isStream = headers['content-type'] === 'text/event-stream'
      response.on('error', reject)
      response.on('end', finish)
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        if (!isStream || (untilEvent && !/^data:.*\n\n/m.test(Buffer.concat(chunks).toString('utf8')))) return
        finish()
        sent.destroy()
      })
    })
    // Nothing comes of it once the answer is there.
    sent.on('error', reject)
    sent.end(body)
  })
}
