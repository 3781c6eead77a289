import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

/** What a worker tells the process that started it, one JSON line each. */
export type WorkerEvent =
  | { readonly event: 'listening'; readonly address: string }
  | { readonly event: 'loading'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly event: 'ready'; readonly device: string; readonly enginePid: number }
  | { readonly event: 'engine-lost'; readonly reason: string }
  | { readonly event: 'failed'; readonly message: string }

/** Standard input and output as a line protocol with the parent. */
export class ParentChannel {
  constructor(
    private readonly output: Writable,
    input: Readable,
    onDownstream: (address: string) => void,
    onUnreadable: (line: string) => void,
  ) {
    createInterface({ input }).on('line', (line) => {
      const address = readDownstream(line)
      if (address === null) onUnreadable(line)
      else onDownstream(address)
    })
  }

  send(event: WorkerEvent): void {
    this.output.write(`${JSON.stringify(event)}\n`)
  }
}

function readDownstream(line: string): string | null {
  try {
    const { downstream } = JSON.parse(line) as { downstream?: unknown }
    return typeof downstream === 'string' && /^.+:\d+$/.test(downstream) ? downstream : null
  } catch {
    return null
  }
}
