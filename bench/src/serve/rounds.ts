import { settle } from '../pairs.ts'
import type { Contender, ContenderName } from './contender.ts'
import { cpuTimeMs, settleProcesses } from './process-tree.ts'

/** What every contender measured, in order of rounds. */
export type Rounds<R> = ReadonlyMap<ContenderName, readonly R[]>

export interface RoundOptions<R> {
  readonly contenders: readonly Contender[]
  readonly count: number
  /** The same work for every contender in one round. */
  readonly measure: (contender: Contender, round: number) => Promise<R>
  /** CPU time that the others used meanwhile; not called where it cannot be seen. */
  readonly onIdle?: (cpuMs: number, elapsedMs: number) => void
}

/**
 * Measures contenders in turn, a b b a a b …, so that drift of the machine falls on all alike, each after all of them
 * and this process have become idle. Results are compared within a round.
 */
export async function measureRounds<R>(options: RoundOptions<R>): Promise<Rounds<R>> {
  const { contenders, count } = options
  const results = new Map<ContenderName, R[]>(contenders.map(({ name }) => [name, []]))
  for (let round = 0; round < count; round++) {
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      results.get(contender.name)!.push(await measureAlone(options, contender, round))
    }
  }
  return results
}

async function measureAlone<R>(
  { contenders, measure, onIdle }: RoundOptions<R>,
  contender: Contender,
  round: number,
): Promise<R> {
  await settleProcesses(contenders.flatMap(({ process }) => process.pids()))
  await settle()
  const others = contenders.filter((other) => other !== contender).flatMap(({ process }) => process.pids())
  const startedMs = performance.now()
  const cpuBeforeMs = cpuTimeMs(others)
  const result = await measure(contender, round)
  const cpuMs = cpuTimeMs(others)
  if (cpuMs !== null && cpuBeforeMs !== null) {
    onIdle?.(cpuMs - cpuBeforeMs, performance.now() - startedMs)
  }
  return result
}
