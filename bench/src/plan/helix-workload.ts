import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Random, seededRandom } from '@deos/domain'
import type { ClosedWorkload, OpenWorkload, RequestLengths } from '@deos/simulator'
import { z } from 'zod'

const counts = z.array(z.number())
const intervalMs = 3000

/** Requests of the Azure conversation trace, as the authors draw them. */
export class HelixTrace {
  private readonly prompts: readonly number[]
  private readonly outputs: readonly number[]
  private readonly arrivals: readonly number[]

  /** @param folder - with `workload/azure_conv_*.json` */
  constructor(folder: string) {
    const read = (name: string) =>
      counts.parse(JSON.parse(readFileSync(join(folder, 'workload', `azure_conv_${name}.json`), 'utf8')))
    this.prompts = read('input')
    this.outputs = read('output')
    this.arrivals = read('arrive_time')
  }

  private draw(random: Random): RequestLengths {
    const at = Math.floor(random.next() * this.prompts.length)
    return { promptTokens: this.prompts[at]!, outputTokens: this.outputs[at]! }
  }

  closed(seed: number, initial: number, refill: ClosedWorkload['refill']): ClosedWorkload {
    const random = seededRandom(seed)
    return { kind: 'closed', draw: () => this.draw(random), initial, gapMs: 100, refill }
  }

  /** Arrivals that bring so many tokens, prompt and output, a second on average; counts of 3 s drawn from the trace. */
  open(seed: number, tokensPerSecond: number, durationMs: number): OpenWorkload {
    const random = seededRandom(seed)
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
    const requestsPerSecond = tokensPerSecond / (mean(this.prompts) + mean(this.outputs))
    const scale = (requestsPerSecond * intervalMs) / 1000 / mean(this.arrivals)
    const arrivals: (RequestLengths & { atMs: number })[] = []
    let owed = 0
    for (let startMs = 0; startMs < durationMs; startMs += intervalMs) {
      const wanted = this.arrivals[Math.floor(random.next() * this.arrivals.length)]! * scale + owed
      const count = Math.round(wanted)
      owed = wanted - count
      const times = Array.from({ length: count }, () => startMs + random.next() * intervalMs)
      for (const atMs of times.sort((a, b) => a - b)) arrivals.push({ atMs, ...this.draw(random) })
    }
    return { kind: 'open', arrivals }
  }
}
