import { bytes, formatBytes, formatLayers } from '@deos/domain'
import type { ModelDescription } from '@deos/engine/weights'
import type { RingPlan, WorkerAssignment } from '../ring/ring-plan.ts'
import type { WorkerPhase } from '../ring/ring-supervision.ts'
import { formatMilliseconds, formatPercent } from '../text/quantities.ts'
import { quoteShell } from '../text/shell-words.ts'
import { formatTable } from '../text/table.ts'

/** Bytes of weights that a stage holds; a head tied to the embedding is one more copy of it. */
export function stageWeightBytes(
  description: ModelDescription,
  { layers, weightType }: WorkerAssignment,
): number {
  const size = (part: ModelDescription['head']): number =>
    weightType in part.bytes ? part.bytes[weightType as keyof typeof part.bytes] : (part.storedBytes ?? 0)
  const own = description.layers.slice(layers.first, layers.end).reduce((sum, part) => sum + size(part), 0)
  const embeds = layers.first === 0
  const heads = layers.end === description.config.layers
  const tied = description.config.tiedEmbeddings && heads
  return own + (embeds || tied ? size(description.embedding) : 0) + (heads ? size(description.head) : 0)
}

const share = (done: number, total: number): string => formatPercent(total === 0 ? 0 : done / total)

/** One worker's state in a few words. */
export function formatPhase(phase: WorkerPhase): string {
  switch (phase.phase) {
    case 'starting':
      return 'starting'
    case 'loading':
      return `loading ${share(phase.doneBytes, phase.totalBytes)}`
    case 'ready':
      return 'ready'
    case 'engine-lost':
      return 'engine lost'
    case 'restarting':
      return 'restarting'
    case 'stopped':
      return 'stopped'
  }
}

/** The moving line while a ring comes up. */
export function formatProgress(plan: RingPlan, phases: readonly WorkerPhase[]): string {
  const ready = phases.filter(({ phase }) => phase === 'ready').length
  if (ready === phases.length) return 'Linking the ring and generating a first token'
  const busy = plan.assignments
    .map(({ worker }, stage) => ({ worker, phase: phases[stage]! }))
    .filter(({ phase }) => phase.phase !== 'ready')
    .map(({ worker, phase }) => `${worker} ${formatPhase(phase)}`)
  return `${ready} of ${phases.length} workers ready · ${busy.join(' · ')}`
}

/** A line about a worker of a ring that was up, or `null` if there is nothing to tell. */
export function formatIncident(worker: string, phase: WorkerPhase): string | null {
  switch (phase.phase) {
    case 'restarting': {
      const delay = formatMilliseconds(phase.delayMs)
      return `Worker ${worker} died (${phase.reason}); it is started again in ${delay}.`
    }
    case 'engine-lost':
      return `The engine of worker ${worker} died (${phase.reason}); the worker starts another.`
    case 'ready':
      return `Worker ${worker} is ready again.`
    default:
      return null
  }
}

export interface ReadyFacts {
  readonly url: string
  readonly startedMs: number
  readonly plan: RingPlan
  readonly description: ModelDescription
  readonly pids: readonly (number | null)[]
  readonly instruct: boolean
  readonly apiKeyRequired: boolean
  readonly runFolder: string
}

export function readyJson(facts: ReadyFacts, gatewayPid: number | null) {
  const { plan, description, pids } = facts
  return {
    event: 'ready',
    url: facts.url,
    model: plan.assignments[0]!.model.id,
    instruct: facts.instruct,
    apiKeyRequired: facts.apiKeyRequired,
    contextLength: plan.contextLength,
    kvType: plan.kvType,
    startedMs: Math.round(facts.startedMs),
    gateway: { pid: gatewayPid },
    workers: plan.assignments.map((assignment, stage) => ({
      worker: assignment.worker,
      pid: pids[stage] ?? null,
      layers: assignment.layers,
      split: assignment.split,
      rank: assignment.rank,
      speed: assignment.speed,
      // Of the whole stage, of which each of its ranks keeps a part.
      weightBytes: stageWeightBytes(description, assignment),
      kvBytes: assignment.kvBytes,
    })),
    logs: facts.runFolder,
  }
}

function workerTable({ plan, description, pids }: ReadyFacts): string {
  return formatTable(
    [
      { title: 'worker' },
      { title: 'layers' },
      { title: 'speed', align: 'right' },
      { title: 'weights', align: 'right' },
      { title: 'KV memory', align: 'right' },
      { title: 'pid', align: 'right' },
    ],
    plan.assignments.map((assignment, stage) => [
      assignment.worker,
      formatLayers(assignment.layers),
      formatPercent(assignment.speed),
      formatBytes(bytes(stageWeightBytes(description, assignment))),
      formatBytes(bytes(assignment.kvBytes)),
      String(pids[stage] ?? ''),
    ]),
  )
}

const continuation = 'Ownership in Rust means that'
const question = 'What can you do?'

/** A request that can be pasted into a shell. */
export function exampleCurl({ url, plan, instruct, apiKeyRequired }: ReadyFacts): string {
  const model = plan.assignments[0]!.model.id
  const path = instruct ? '/v1/chat/completions' : '/v1/completions'
  const input = instruct ? { messages: [{ role: 'user', content: question }] } : { prompt: continuation }
  const body = JSON.stringify({ model, ...input, max_tokens: 48 })
  const key = apiKeyRequired ? ' -H "authorization: Bearer $DEOS_API_KEY"' : ''
  return `curl ${url}${path} -H 'content-type: application/json'${key} \\\n  -d ${quoteShell(body)}`
}

/** @param command - how this program is called, such as `npx deos` */
export function formatReady(facts: ReadyFacts, command: string): string {
  const { plan, description, url } = facts
  const { id } = plan.assignments[0]!.model
  const workers = plan.assignments.length
  const where = new URL(url).port === '8000' ? '' : ` --url ${url}`
  const run = `${command} run${where} ${facts.instruct ? '--chat ' : ''}"${facts.instruct ? question : continuation}"`
  const nature = facts.instruct
    ? []
    : ['This is a base model: it continues text and does not follow instructions.', '']
  return [
    `${id} is ready at ${url} after ${formatMilliseconds(facts.startedMs)}.`,
    `${description.config.layers} layers on ${workers} ${workers === 1 ? 'worker' : 'workers'}, ` +
      `context ${plan.contextLength} tokens, KV cache ${plan.kvType} for ${plan.poolTokens} tokens.`,
    '',
    workerTable(facts),
    '',
    ...nature,
    'Try it from another terminal:',
    '',
    exampleCurl(facts),
    '',
    run,
    `${command} chat${where}`,
    '',
    `Logs: ${facts.runFolder}. Ctrl-C stops.`,
  ].join('\n')
}
