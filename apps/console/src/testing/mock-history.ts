import { organisation } from './mock-data.ts'
import { type Clock, machineId, usd } from './mock-fleet.ts'

/** Waves that look like load and are the same each time. */
export const wave = (step: number, around: number, swing: number, turn = 24): number =>
  Math.max(
    0,
    around +
      swing * Math.sin((step / turn) * 2 * Math.PI) +
      swing * 0.35 * Math.sin(step * 1.7) +
      swing * 0.2 * Math.sin(step * 5.3),
  )

const stepsOf = {
  '15m': [15_000, 60],
  '1h': [30_000, 120],
  '6h': [180_000, 120],
  '24h': [600_000, 144],
  '7d': [3_600_000, 168],
  '30d': [14_400_000, 180],
} as const

export function seriesOf(
  nowMs: number,
  window: keyof typeof stepsOf,
  quantities: Readonly<Record<string, (step: number) => number | null>>,
) {
  const [stepMs, count] = stepsOf[window]
  return {
    startAt: new Date(nowMs - stepMs * count).toISOString(),
    stepMs,
    values: Object.fromEntries(
      Object.entries(quantities).map(([name, at]) => [
        name,
        Array.from({ length: count }, (_, step) => at(step)),
      ]),
    ),
  }
}

export const statusQuantities = {
  tokens_per_second: (step: number) => wave(step, 310, 140),
  requests_per_second: (step: number) => wave(step, 2.1, 1),
  active_requests: (step: number) => Math.round(wave(step, 9, 5)),
  queued_requests: (step: number) => Math.round(Math.max(0, wave(step, 0.6, 2))),
  ttft_p50_ms: (step: number) => wave(step, 212, 30),
  ttft_p95_ms: (step: number) => wave(step, 380, 80),
  tpot_p50_ms: (step: number) => wave(step, 31, 3),
  tpot_p95_ms: (step: number) => wave(step, 42, 6),
  ready_machines: (step: number) => (step % 40 === 7 ? 4 : 5),
  ready_deployments: () => 1,
}

export const machineQuantities = {
  cpu_ratio: (step: number) => Math.min(1, wave(step, 0.31, 0.16)),
  busy_ratio: (step: number) => Math.min(1, wave(step, 0.52, 0.2)),
  memory_used_bytes: (step: number) => Math.round(wave(step, 27, 3) * 1024 ** 3),
  promised_bytes: () => 8.4 * 1024 ** 3,
  generated_tokens_per_second: (step: number) => wave(step, 190, 70),
  active_sessions: (step: number) => Math.round(wave(step, 6, 3)),
  kv_used_tokens: (step: number) => Math.round(wave(step, 46_000, 19_000)),
}

export const deploymentQuantities = {
  tokens_per_second: (step: number) => wave(step, 240, 90),
  active_sessions: (step: number) => Math.round(wave(step, 6, 3)),
  kv_used_ratio: (step: number) => Math.min(1, wave(step, 0.38, 0.14)),
}

const ids = {
  user: { kind: 'user' as const, id: 'user-ada' },
  key: { kind: 'key' as const, id: 'key-ci' },
  system: { kind: 'system' as const },
  machine: (name: string) => ({ kind: 'machine' as const, id: machineId(name) }),
}

const replica = { deploymentId: 'deployment-chat', replicaId: 'replica-chat-2' }

/** Oldest first. */
export function eventsAt({ ago, ahead }: Clock) {
  const event = (
    minutes: number,
    cause: (typeof ids)['user' | 'key' | 'system'] | ReturnType<(typeof ids)['machine']>,
    message: string,
  ) => ({
    at: ago(minutes),
    organisationId: organisation.id,
    cause,
    message,
  })
  const made = [
    {
      ...event(300, ids.user, 'mum-3090 was cordoned: Night tariff only.'),
      type: 'machine.cordoned' as const,
      data: { machineId: machineId('mum-3090'), reason: 'Night tariff only.' },
    },
    {
      ...event(240, ids.key, 'Model mistral-small was registered.'),
      type: 'model.registered' as const,
      data: { modelId: 'model-broken', name: 'mistral-small' },
    },
    {
      ...event(187, ids.system, 'vir-a100 is offline: no heartbeat for 4 s.'),
      type: 'machine.offline' as const,
      data: {
        machineId: machineId('vir-a100'),
        incarnation: 1,
        cause: 'lease' as const,
        reason: 'No heartbeat for 4 s.',
      },
    },
    {
      ...event(186, ids.system, 'Replica replica-chat-1 of chat failed: it lost vir-a100.'),
      type: 'replica.failed' as const,
      data: {
        deploymentId: 'deployment-chat',
        replicaId: 'replica-chat-1',
        reason: 'It lost vir-a100.',
        failures: 1,
        retryAt: ahead(0),
        lostMachineIds: [machineId('vir-a100')],
      },
    },
    {
      ...event(180, ids.system, 'Replica replica-chat-1 of chat is ready; its first token took 148 ms.'),
      type: 'replica.ready' as const,
      data: { deploymentId: 'deployment-chat', replicaId: 'replica-chat-1', firstTokenMs: 148 },
    },
    {
      ...event(90, ids.system, 'syd-4080 was quarantined: it reads weights 225 times slower than its kind.'),
      type: 'machine.quarantined' as const,
      data: { machineId: machineId('syd-4080'), cause: 'benchmark' as const, reason: 'Slow.' },
    },
    {
      ...event(46, ids.user, 'fra-l40s is being drained: Replaced by newer cards on Friday.'),
      type: 'machine.drain-started' as const,
      data: { machineId: machineId('fra-l40s'), reason: 'Replaced.' },
    },
    {
      ...event(
        34,
        ids.system,
        'nightly-batch finds no place: 21.4 GiB are needed in us-west, 9.2 GiB are free there.',
      ),
      type: 'deployment.placement-refused' as const,
      data: { deploymentId: 'deployment-batch', reasons: ['21.4 GiB are needed.'], retryAt: ahead(1) },
    },
    {
      ...event(4, ids.machine('attic-macbook'), 'attic-macbook joined in home.'),
      type: 'machine.joined' as const,
      data: {
        machineId: machineId('attic-macbook'),
        name: 'attic-macbook',
        location: { region: 'home', provider: 'ada' },
        incarnation: 1,
        joinTokenId: 'join-1',
      },
    },
    {
      ...event(3, ids.user, 'chat was scaled to 2 replicas.'),
      type: 'deployment.scaled' as const,
      data: { deploymentId: 'deployment-chat', replicas: 2 },
    },
    {
      ...event(2.6, ids.system, 'Replica replica-chat-2 of chat was placed on 2 machines.'),
      type: 'replica.placed' as const,
      data: { ...replica, generation: 1, tokenMs: 38, reasons: [], stages: [] },
    },
  ]
  return made.map((each, index) => ({ ...each, sequence: index + 1 }))
}

const day = 86_400_000

export function usageOf(nowMs: number, by: readonly string[], days: number) {
  const amounts = (scale: number, step: number) => {
    const requests = Math.round(wave(step, 900, 420, 7) * scale)
    return {
      requests,
      failedRequests: Math.round(requests * 0.004),
      promptTokens: requests * 640,
      cachedPromptTokens: requests * 210,
      completionTokens: requests * 260,
      cost: usd(requests * 0.000172),
    }
  }
  const row = { day: null, projectId: null, keyId: null, model: null }
  const dimension = by[0] ?? 'day'
  const from = new Date(nowMs - (days - 1) * day).toISOString().slice(0, 10)
  const rows = {
    day: () =>
      Array.from({ length: days }, (_, step) => ({
        ...row,
        day: new Date(nowMs - (days - 1 - step) * day).toISOString().slice(0, 10),
        ...amounts(1, step),
      })),
    model: () =>
      ['qwen3-8b', 'nano-chat', 'qwen3-batch'].map((model, index) => ({
        ...row,
        model,
        ...amounts(22 / (index + 1), index),
      })),
    project: () =>
      ['project-support', 'project-default', 'project-lab'].map((projectId, index) => ({
        ...row,
        projectId,
        ...amounts(25 / (index * 3 + 1), index),
      })),
    key: () =>
      ['key-desk', 'key-lab', null].map((keyId, index) => ({
        ...row,
        keyId,
        ...amounts(25 / (index * 3 + 1), index),
      })),
  }[dimension as 'day' | 'model' | 'project' | 'key']()
  return { from, to: new Date(nowMs).toISOString().slice(0, 10), rows, total: amounts(days, 3) }
}

export const requestId = (index: number): string => `req-01JD${String(7000 + index * 37)}Q${index}`

export function requestsAt({ ago }: Clock) {
  return Array.from({ length: 14 }, (_, index) => {
    const decodeMs = 1800 + wave(index, 2600, 1500, 5)
    const failed = index === 5
    const interrupted = index === 2
    const start = 8 + (index % 4) * 11
    const prefillEnd = start + 190 + (index % 3) * 40
    const end = prefillEnd + decodeMs
    const hop = (name: string, stage: number, stepMs: number) => ({
      ...{ replicaId: 'replica-chat-1', stage, machineId: machineId(name) },
      prefill: { waitMs: 3 + stage, computeMs: stepMs * 6, linkMs: 1 + stage * 9 },
      decode: {
        waitMs: 40 + stage * 15,
        computeMs: decodeMs * stepMs * 0.01,
        linkMs: decodeMs * 0.01 * (1 + stage),
      },
    })
    return {
      id: requestId(index),
      at: ago(index * 1.7),
      keyId: index % 4 === 3 ? null : index % 3 === 0 ? 'key-lab' : 'key-desk',
      projectId: 'project-support',
      model: index % 5 === 4 ? 'nano-chat' : 'qwen3-8b',
      deploymentId: 'deployment-chat',
      replicaId: 'replica-chat-1',
      status: failed ? 402 : 200,
      streamed: index % 2 === 0,
      promptTokens: 180 + index * 61,
      cachedPromptTokens: index * 20,
      completionTokens: failed ? 0 : Math.round(decodeMs / 31),
      cost: usd(failed ? 0 : 0.0002 + index * 0.000031),
      ttftMs: failed ? null : prefillEnd,
      tpotMs: failed ? null : 31.4,
      durationMs: failed ? 3 : end,
      interruptions: interrupted ? 1 : 0,
      split: failed
        ? null
        : index % 2 === 0
          ? {
              used: true,
              reason: 'Computed elsewhere and sent it is there in 210 ms, here in 480 ms.',
              prefillReplicaId: 'replica-chat-3',
              tokens: 176 + index * 61,
              bytes: (176 + index * 61) * 98_304,
              levels: [0],
              refusals: 0,
              enhancement: null,
            }
          : {
              used: false,
              reason: '41 positions are less than the 128 of a block.',
              prefillReplicaId: 'replica-chat-3',
              tokens: 0,
              bytes: 0,
              levels: [],
              refusals: 0,
              enhancement: null,
            },
      timeline: failed
        ? []
        : [
            { phase: 'queue' as const, startMs: 0, endMs: start },
            { phase: 'prefill' as const, startMs: start, endMs: prefillEnd },
            {
              phase: 'decode' as const,
              startMs: prefillEnd,
              endMs: interrupted ? prefillEnd + decodeMs * 0.4 : end,
            },
            ...(interrupted
              ? [
                  {
                    phase: 'interruption' as const,
                    startMs: prefillEnd + decodeMs * 0.4,
                    endMs: prefillEnd + decodeMs * 0.55,
                  },
                  {
                    phase: 'decode' as const,
                    startMs: prefillEnd + decodeMs * 0.55,
                    endMs: end,
                  },
                ]
              : []),
          ],
      hops: failed
        ? []
        : [hop('hel-rack-1', 0, 10), hop('hel-rack-2', 1, 9), hop('sto-a6000', 2, 8), hop('mum-3090', 3, 5)],
    }
  })
}

export function entriesAt({ ago }: Clock) {
  const entry = (
    id: string,
    minutes: number,
    kind: 'deposit' | 'reserve' | 'settle' | 'release',
    description: string,
    postings: readonly (readonly [string, number])[],
  ) => ({
    id,
    at: ago(minutes),
    kind,
    description,
    requestId: kind === 'deposit' ? null : requestId(0),
    postings: postings.map(([account, units]) => ({ account, amount: usd(units) })),
  })
  return [
    entry('entry-4', 0.4, 'settle', 'A request of support-desk-production ended.', [
      ['reserved', -0.0024],
      ['revenue', 0.000214],
      ['wallet', 0.002186],
    ]),
    entry('entry-3', 0.5, 'reserve', 'A request of support-desk-production began.', [
      ['wallet', -0.0024],
      ['reserved', 0.0024],
    ]),
    entry('entry-2', 60 * 24 * 12, 'deposit', 'Invoice 2026-114.', [
      ['external', -500],
      ['wallet', 500],
    ]),
    entry('entry-1', 60 * 24 * 44, 'deposit', 'Invoice 2026-087.', [
      ['external', -250],
      ['wallet', 250],
    ]),
  ]
}

const messages = [
  ['info', 'Session 41 begins: 812 tokens of prompt, 640 of them from the cache.'],
  ['debug', 'Microbatch 7: 4 sequences, 31 ms.'],
  ['info', 'Session 41 ends: 265 tokens, 31.2 ms a token.'],
  ['warn', 'The link to mum-3090 took 204 ms there and back; 122 ms are usual.'],
  ['info', '<b>Not bold</b>: what is logged stays text.'],
  ['error', 'The link to vir-a100 broke off: ECONNRESET. The replica is placed anew.'],
] as const

export const logLine = (sequence: number, at: string) => {
  const [level, message] = messages[sequence % messages.length]!
  return {
    sequence,
    at,
    level,
    replicaId: 'replica-chat-1',
    stageId: 'stage-chat-1-0',
    machineId: machineId(sequence % 2 === 0 ? 'hel-rack-1' : 'sto-a6000'),
    message,
  }
}
