import { parseJsonLine } from '@deos/service'
import { z } from 'zod'

const count = z.int().min(0)

/** What a stage does at the moment. */
const loadSchema = z.object({
  event: z.literal('load'),
  activeSessions: count,
  kvUsedTokens: count,
  /** Share of the time since the last report that the engine computed. */
  busyFraction: z.number().min(0).max(1),
  /** Since the process started; the first stage counts, the others say 0. */
  generatedTokens: count,
  /** Null where links are not measured. */
  nextRoundTripMs: z.number().min(0).nullable(),
  nextPath: z.enum(['direct', 'relayed', 'punched']).nullable(),
})

const schema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('listening'), address: z.string() }),
  z.object({ event: z.literal('loading'), doneBytes: z.number().min(0), totalBytes: z.number().min(0) }),
  z.object({ event: z.literal('ready'), device: z.string(), enginePid: count }),
  z.object({ event: z.literal('engine-lost'), reason: z.string() }),
  z.object({ event: z.literal('failed'), message: z.string() }),
  loadSchema,
])

/** What a worker tells the process that started it, one JSON line each. */
export type WorkerEvent = z.infer<typeof schema>
export type StageLoad = Omit<z.infer<typeof loadSchema>, 'event'>

/** `null` for lines that are no event of a worker. */
export function parseWorkerEvent(line: string): WorkerEvent | null {
  return schema.safeParse(parseJsonLine(line)).data ?? null
}
