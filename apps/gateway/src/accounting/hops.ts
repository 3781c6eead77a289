import type { RequestRecord } from '@deos/api'
import { ms } from '@deos/domain'
import { addTimes, type StageTime } from '@deos/protocol'
import type { AnswerTrace, ReplicaTimes } from './answer-trace.ts'

type Hop = RequestRecord['hops'][number]

/** Records stay small however often an answer moved. */
const MAX_HOPS = 500

const nothing: StageTime = { waitUs: 0, computeUs: 0, linkUs: 0 }

/** What the stages of all replicas spent on a request's answers, one replica after another in the order they were asked. */
export function hopsOf(answers: readonly AnswerTrace[]): Hop[] {
  const replicas = new Map<string, ReplicaTimes>()
  for (const times of answers.flatMap((answer) => answer.replicas)) {
    const known = replicas.get(times.replicaId)
    if (known === undefined) replicas.set(times.replicaId, { ...times })
    else {
      known.prefill = addTimes(known.prefill, times.prefill)
      known.decode = addTimes(known.decode, times.decode)
    }
  }
  return [...replicas.values()].flatMap(hopsAt).slice(0, MAX_HOPS)
}

function hopsAt({ replicaId, machines, prefill, decode }: ReplicaTimes): Hop[] {
  return Array.from({ length: Math.max(prefill.length, decode.length) }, (_, stage) => ({
    replicaId: replicaId as Hop['replicaId'],
    stage,
    machineId: (machines[stage] ?? null) as Hop['machineId'],
    prefill: inMs(prefill[stage] ?? nothing),
    decode: inMs(decode[stage] ?? nothing),
  }))
}

const inMs = ({ waitUs, computeUs, linkUs }: StageTime): Hop['prefill'] => ({
  waitMs: ms(waitUs / 1000),
  computeMs: ms(computeUs / 1000),
  linkMs: ms(linkUs / 1000),
})
