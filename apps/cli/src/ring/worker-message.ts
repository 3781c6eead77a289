import { parseJsonLine } from '@deos/service'

/** What a worker writes to its standard output, one JSON line each. */
export type WorkerMessage =
  | { readonly event: 'listening'; readonly address: string }
  | { readonly event: 'loading'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly event: 'ready' }
  | { readonly event: 'engine-lost'; readonly reason: string }
  | { readonly event: 'failed'; readonly message: string }

/** `null` for lines that are no message of a worker. */
export function parseWorkerMessage(line: string): WorkerMessage | null {
  const record = parseJsonLine(line)
  if (record === null) return null
  const text = (name: string): string => String(record[name] ?? '')
  switch (record.event) {
    case 'listening':
      return typeof record.address === 'string' ? { event: 'listening', address: record.address } : null
    case 'loading': {
      const { doneBytes, totalBytes } = record
      return typeof doneBytes === 'number' && typeof totalBytes === 'number'
        ? { event: 'loading', doneBytes, totalBytes }
        : null
    }
    case 'ready':
      return { event: 'ready' }
    case 'engine-lost':
      return { event: 'engine-lost', reason: text('reason') }
    case 'failed':
      return { event: 'failed', message: text('message') }
    default:
      return null
  }
}
