import type { Collective } from './collective.ts'

/** Ranks in one process that hand values to each other. A rank that fails must be reported by {@link MemoryRanks.fail}. */
export class MemoryRanks {
  private readonly queues = new Map<string, Uint8Array[]>()
  private readonly waiting = new Map<string, { take(data: Uint8Array): void; fail(error: Error): void }>()
  private failure: Error | null = null

  rank(rank: number): Collective {
    return {
      rank,
      exchange: (own, members) => {
        if (this.failure) return Promise.reject(this.failure)
        for (const member of members) if (member !== rank) this.hand(`${rank}>${member}`, own)
        return Promise.all(members.map((member) => (member === rank ? own : this.take(`${member}>${rank}`))))
      },
    }
  }

  /** Ends every exchange that waits, and those to come. */
  fail(error: Error): void {
    this.failure = error
    for (const { fail } of this.waiting.values()) fail(error)
    this.waiting.clear()
  }

  private hand(way: string, data: Uint8Array): void {
    const waiting = this.waiting.get(way)
    this.waiting.delete(way)
    if (waiting) waiting.take(data)
    else this.queues.set(way, [...(this.queues.get(way) ?? []), data])
  }

  private take(way: string): Promise<Uint8Array> {
    const first = this.queues.get(way)?.shift()
    if (first) return Promise.resolve(first)
    return new Promise((take, fail) => this.waiting.set(way, { take, fail }))
  }
}
