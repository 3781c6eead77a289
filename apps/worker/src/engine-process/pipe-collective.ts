import type { Collective } from '@deos/engine'

/** The way to the worker, which carries values to the engines of other ranks and back. */
export interface RankPipe {
  hand(to: readonly number[], data: Uint8Array): void
  /** Waits for the next values of anybody. */
  next(): HandedValues
}

export interface HandedValues {
  readonly from: number
  readonly data: Uint8Array
}

/** Ranks in other processes: values go through the workers, in order between any two. */
export class PipeCollective implements Collective {
  private readonly early = new Map<number, Uint8Array[]>()

  private own = 0

  constructor(private readonly pipe: RankPipe) {}

  get rank(): number {
    return this.own
  }

  /** Which rank this process is, told once before anything else. */
  become(rank: number): void {
    this.own = rank
  }

  exchange(own: Uint8Array, members: readonly number[]): Promise<readonly Uint8Array[]> {
    const others = members.filter((member) => member !== this.rank)
    this.pipe.hand(others, own)
    return Promise.resolve(members.map((member) => (member === this.rank ? own : this.take(member))))
  }

  /** Values that came before anybody waited for them. */
  put({ from, data }: HandedValues): void {
    const queue = this.early.get(from)
    if (queue) queue.push(data)
    else this.early.set(from, [data])
  }

  private take(member: number): Uint8Array {
    for (;;) {
      const first = this.early.get(member)?.shift()
      if (first) return first
      this.put(this.pipe.next())
    }
  }
}
