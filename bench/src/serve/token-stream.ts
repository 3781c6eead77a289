/**
 * Notes when tokens arrive in a streamed answer of `/v1/completions`, at little cost for each: an event counts as a
 * token if it carries text, and only what the last event says of usage is read.
 */
export class TokenStream {
  readonly tokensMs: number[] = []
  /** What the server says it generated; `null` until it did. */
  completionTokens: number | null = null
  /** Prompt tokens that it says it did not have to compute. */
  cachedTokens = 0
  /** The stream was closed properly. */
  done = false
  #rest = ''

  /**
   * @param piece - bytes of the body, cut anywhere
   * @param nowMs - when they arrived
   * @throws Error with the server's words if it ends the stream with an error
   */
  push(piece: Buffer, nowMs: number): void {
    // Only ASCII is looked for, so the bytes of other characters may stand as they are.
    const text = this.#rest + piece.toString('latin1')
    let from = 0
    for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n', from)) {
      this.#event(text.slice(from, end), nowMs)
      from = end + 2
    }
    this.#rest = text.slice(from)
  }

  #event(event: string, nowMs: number): void {
    if (!event.startsWith('data:')) {
      if (event.startsWith('error:')) throw new Error(`The server ended a stream: ${event.slice(0, 500)}`)
      return
    }
    if (carriesText.test(event)) this.tokensMs.push(nowMs)
    else if (closes.test(event)) this.done = true
    else if (fails.test(event)) throw new Error(`The server ended a stream: ${event.slice(0, 500)}`)
    const generated = usage.exec(event)
    if (generated === null) return
    this.completionTokens = Number(generated[1])
    this.cachedTokens = Number(cached.exec(event)?.[1] ?? 0)
  }
}

const carriesText = /"text":\s?"[^"]/
const closes = /^data:\s?\[DONE\]/
const fails = /^data:\s?\{"error"/
const usage = /"completion_tokens":\s?(\d+)/
const cached = /"cached_tokens":\s?(\d+)/
