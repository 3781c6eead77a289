import {
  type Problem,
  type Route,
  type StreamEvent,
  streamEnd,
  streamPing,
  streamPreamble,
  writeEvent,
  writeStreamProblem,
} from '@deos/api'
import { type Outlet, takeUntil } from './outlet.ts'

export interface EventAnswerParts {
  readonly pingMs: number
  /** Aborts when nobody reads any more, or when nothing may be sent any more. */
  readonly signal: AbortSignal
  /** What ends the stream before its time, if anything: the caller may not read it any longer. */
  readonly refusal: () => Promise<Problem | null>
  /** What readers are told of an error in the midst of a stream. */
  readonly problemOf: (error: unknown) => Problem
}

/** Credentials are looked at again once in so many pings. */
const pingsPerCheck = 4

/**
 * Server-sent events until the source ends, the reader goes or the permission ends. A source that ends is told as the
 * end for good; a server that stops breaks the connection instead, and readers come back.
 */
export async function sendEvents(
  route: Route,
  events: AsyncIterable<StreamEvent<unknown>>,
  outlet: Outlet,
  { pingMs, signal, refusal, problemOf }: EventAnswerParts,
): Promise<void> {
  const ended = new AbortController()
  const stop = AbortSignal.any([signal, ended.signal])
  let closing = streamEnd
  let pings = 0

  const check = async () => {
    const problem = await refusal().catch(problemOf)
    if (problem === null) return
    closing = writeStreamProblem(problem)
    ended.abort()
  }
  const timer = setInterval(() => {
    pings += 1
    if (pings % pingsPerCheck === 0) void check()
    if (outlet.isReady) void outlet.write(streamPing)
  }, pingMs)

  try {
    await outlet.write(streamPreamble)
    for await (const { id, data } of takeUntil(events, stop)) await outlet.write(writeEvent(route, id, data))
  } catch (error) {
    closing = writeStreamProblem(problemOf(error))
  } finally {
    clearInterval(timer)
  }
  if (signal.aborted) return
  await outlet.write(closing)
  outlet.end()
}
