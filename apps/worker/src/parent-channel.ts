import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { WorkerEvent } from './worker-event.ts'

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
    return typeof downstream === 'string' && /^.+:\d+(?:;\S+)?$/.test(downstream) ? downstream : null
  } catch {
    return null
  }
}
