import type { KvAddress } from '@deos/protocol'

type Leveled = KvAddress & { readonly level: number }

interface Count {
  readonly seen: Set<string>
  blocks: number
  bytes: number
}

/** What was moved for one session. */
export interface TransferCount {
  readonly blocks: number
  /** Of those, blocks that had been moved before at the same level. */
  readonly again: number
  readonly bytes: number
}

/** Blocks that left or came, by session. */
export class TransferTally<Id extends string> {
  readonly #counts = new Map<Id, Count>()

  add(session: Id, { block, layer, part, level }: Leveled, bytes: number): void {
    const count = this.#counts.get(session) ?? { seen: new Set(), blocks: 0, bytes: 0 }
    count.seen.add([block, layer, part, level].join())
    count.blocks += 1
    count.bytes += bytes
    this.#counts.set(session, count)
  }

  /** What there was, once; `null` if nothing. */
  take(session: Id): TransferCount | null {
    const count = this.#counts.get(session)
    if (count === undefined) return null
    this.#counts.delete(session)
    const { seen, blocks, bytes } = count
    return { blocks, again: blocks - seen.size, bytes }
  }
}
