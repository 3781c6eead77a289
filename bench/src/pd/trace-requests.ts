import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

/** Tokens of a block of the trace. */
export const TRACE_BLOCK_TOKENS = 512

const schema = z.object({
  timestamp: z.number(),
  input_length: z.number().int().positive(),
  hash_ids: z.array(z.number().int()),
})

/** A prompt; equal ids are equal tokens behind an equal beginning. */
export interface TraceRequest {
  readonly tokens: number
  readonly blocks: readonly number[]
}

/**
 * One hour of real conversations (Mooncake, FAST'25), in order of arrival.
 *
 * @param folder - with `req-mooncake/conversation_trace.jsonl`
 */
export function readTrace(folder: string): readonly TraceRequest[] {
  const text = readFileSync(join(folder, 'req-mooncake', 'conversation_trace.jsonl'), 'utf8')
  const rows = text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => schema.parse(JSON.parse(line)))
  return rows
    .sort((a, b) => a.timestamp - b.timestamp)
    .map(({ input_length: tokens, hash_ids: blocks }) => ({ tokens, blocks }))
}
