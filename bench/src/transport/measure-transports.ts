import { type Figure, measuredFigure, median } from '../contract.ts'
import { type Contender, MESSAGE_BYTES, memory, plainTcp, relayed, secure, tcp } from './contenders.ts'

/** What a hop may cost beside plain TCP. */
const HOP_BAR_MS = 1
const TRIPS = 200

interface Round {
  readonly tripMs: number
  readonly mbPerCpuSecond: number
}

async function measure(contender: Contender, messages: number): Promise<Round> {
  const trips: number[] = []
  for (let trip = 0; trip < TRIPS; trip++) {
    const startMs = performance.now()
    await contender.roundTrip()
    trips.push(performance.now() - startMs)
  }
  await contender.send(4)
  const before = process.cpuUsage()
  await contender.send(messages)
  const { user, system } = process.cpuUsage(before)
  return { tripMs: median(trips), mbPerCpuSecond: (messages * MESSAGE_BYTES) / (user + system) }
}

/** Both ends run in this process: its CPU time is that of sender and receiver together. */
export async function measureTransports(
  quick: boolean,
  progress: (text: string) => void,
): Promise<{ readonly figures: readonly Figure[]; readonly raw: Record<string, unknown> }> {
  const contenders = [await plainTcp(), await memory(), await tcp(), await secure(), await relayed()]
  const rounds = quick ? 5 : 15
  const messages = quick ? 64 : 256
  const results = new Map<string, Round[]>(contenders.map(({ name }) => [name, []]))
  try {
    for (const contender of contenders) await measure(contender, messages)
    for (let round = 0; round < rounds; round++) {
      progress(`round ${round + 1} of ${rounds}`)
      for (const contender of contenders)
        results.get(contender.name)!.push(await measure(contender, messages))
    }
  } finally {
    for (const contender of contenders) await contender.stop()
  }
  const plain = results.get('plain')!
  const figures = contenders.slice(1).flatMap(({ name }) => {
    const own = results.get(name)!
    return [
      measuredFigure({
        ...{ id: `transport.hopOverhead.${name}`, unit: 'ms', better: 'lower' },
        // Timers of a millisecond carry what goes through memory: it is for simulations.
        ...(name !== 'memory' && { bar: HOP_BAR_MS }),
        samples: own.map(({ tripMs }, round) => (tripMs - plain[round]!.tripMs) / 2),
      }),
      measuredFigure({
        ...{ id: `transport.throughputPerCpu.${name}.vsPlainTcp`, unit: 'ratio', better: 'higher' },
        samples: own.map(({ mbPerCpuSecond }, round) => mbPerCpuSecond / plain[round]!.mbPerCpuSecond),
      }),
    ]
  })
  const absolute = Object.fromEntries(
    [...results].map(([name, each]) => [
      name,
      {
        tripMs: median(each.map(({ tripMs }) => tripMs)),
        mbPerCpuSecond: median(each.map(({ mbPerCpuSecond }) => mbPerCpuSecond)),
      },
    ]),
  )
  return { figures, raw: { rounds, messages, messageBytes: MESSAGE_BYTES, absolute } }
}
