import { seededRandom } from '@deos/domain'
import type { RingAnswer, RingRequest } from '@deos/simulator'
import type { LocalRing } from '../ring/local-ring.ts'
import { greedy } from '../ring/workload.ts'
import type { CalibratedModel } from './ring-setup.ts'

export interface Load {
  readonly name: string
  readonly requests: readonly RingRequest[]
  readonly clients: number | null
}

/** Requests of very different lengths; the same for whoever asks with this seed. */
function drawRequests(count: number, perSecond: number, seed: number): readonly RingRequest[] {
  const random = seededRandom(seed)
  let atMs = 0
  return Array.from({ length: count }, () => {
    atMs += (-Math.log(1 - random.next()) * 1000) / perSecond
    const promptTokens = Math.round(8 * 20 ** random.next())
    const outputTokens = Math.round(12 * 8 ** random.next())
    return { atMs, promptTokens, outputTokens }
  })
}

/** So few that each load can be sent several times. */
const requestCount = 12

/** One client, eight that never rest, and strangers that come as they like; `perSecond` are answers of eight clients. */
export function loadsOf(perSecond: number): readonly Load[] {
  return [
    { name: 'alone', requests: drawRequests(4, 1, 1), clients: 1 },
    { name: 'eight', requests: drawRequests(requestCount, 1, 2), clients: 8 },
    { name: 'open50', requests: drawRequests(requestCount, 0.5 * perSecond, 3), clients: null },
    { name: 'open80', requests: drawRequests(requestCount, 0.8 * perSecond, 4), clients: null },
  ]
}

/** Sends a load to the ring itself. */
export async function runLoad(
  ring: LocalRing,
  { vocabSize }: CalibratedModel,
  { requests, clients }: Load,
): Promise<readonly RingAnswer[]> {
  const startMs = performance.now()
  const answers: RingAnswer[] = []
  const ask = async (index: number): Promise<void> => {
    const { promptTokens, outputTokens } = requests[index]!
    const prompt = Int32Array.from(
      { length: promptTokens },
      (_, at) => (7919 * at + 101 * index + 13) % vocabSize,
    )
    const sentMs = performance.now() - startMs
    const { arrivalsMs } = await ring.generate(prompt, outputTokens, greedy)
    answers[index] = { sentMs, tokensMs: arrivalsMs.map((each) => sentMs + each) }
  }
  if (clients === null) {
    await Promise.all(
      requests.map(async ({ atMs }, index) => {
        await new Promise((resolve) => setTimeout(resolve, atMs - (performance.now() - startMs)))
        await ask(index)
      }),
    )
    return answers
  }
  let next = 0
  const client = async (): Promise<void> => {
    while (next < requests.length) {
      next += 1
      await ask(next - 1)
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return answers
}

export interface LoadSummary {
  /** Tokens of the middle half of all tokens by their time: neither the beginning nor stragglers. */
  readonly tokensPerSecond: number
  readonly ttftP50Ms: number
  readonly ttftP99Ms: number
  readonly tpotP50Ms: number
  readonly tpotP99Ms: number
}

export function summarize(answers: readonly RingAnswer[]): LoadSummary {
  const all = answers.flatMap(({ tokensMs }) => tokensMs).sort((a, b) => a - b)
  const [from, to] = [Math.floor(all.length / 4), Math.floor((3 * all.length) / 4)]
  const ttfts = answers.map(({ sentMs, tokensMs }) => tokensMs[0]! - sentMs)
  const tpots = answers.flatMap(({ tokensMs }) =>
    tokensMs.length < 2 ? [] : [(tokensMs.at(-1)! - tokensMs[0]!) / (tokensMs.length - 1)],
  )
  return {
    tokensPerSecond: (1000 * (to - from)) / (all[to]! - all[from]!),
    ...{ ttftP50Ms: quantile(ttfts, 0.5), ttftP99Ms: quantile(ttfts, 0.99) },
    ...{ tpotP50Ms: quantile(tpots, 0.5), tpotP99Ms: quantile(tpots, 0.99) },
  }
}

/** Linear between the two values around it. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = share * (sorted.length - 1)
  const low = Math.floor(at)
  const high = Math.min(sorted.length - 1, low + 1)
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low)
}
