import { setTimeout as sleep } from 'node:timers/promises'
import type { ActivationCoding } from '@deos/domain'
import type * as api from '@deos/sdk'
import type { ApiClient, DeepReadonly } from '@deos/sdk'
import { CommandError, EXIT_FAILURE } from '../cli-error.ts'
import type { Output } from '../output.ts'
import { formatPercent } from '../text/quantities.ts'
import { formatFields, formatTable } from '../text/table.ts'
import { type ControlFlags, openControl } from './connection.ts'
import { all, findDeployment, findModel } from './find.ts'
import { shownAge, shownBytes, shownLine, shownMoney } from './shown.ts'

export interface DeployFlags extends ControlFlags {
  readonly name?: string
  readonly servedAs?: string
  readonly context?: number
  readonly sessions?: number
  readonly precision?: string
  readonly activations?: ActivationCoding
  readonly replicas?: number
  readonly min?: number
  readonly max?: number
  readonly prefillReplicas?: number
  readonly kvQuality?: 'lossless' | 'guarded' | 'refined'
  readonly region: readonly string[]
  readonly provider: readonly string[]
  readonly ttft?: number
  readonly tpot?: number
  readonly dryRun?: true
  readonly wait: boolean
}

type Deployment = DeepReadonly<api.Deployment>
type Replica = DeepReadonly<api.Replica>
type SpecInput = Parameters<ApiClient['deployments']['create']>[0]['body']['spec']

function specOf(modelId: string, flags: DeployFlags): SpecInput {
  const { context, sessions, precision, activations, min, max, ttft, tpot, region, provider, replicas } =
    flags
  const { prefillReplicas = 0, kvQuality = 'lossless' } = flags
  const least = min ?? Math.min(1, max ?? 1)
  return {
    modelId,
    ...(context !== undefined && { contextTokens: context }),
    ...(sessions !== undefined && { sessions }),
    ...(precision !== undefined && { precision }),
    ...(activations !== undefined && { activations }),
    target: { ...(ttft !== undefined && { ttftMs: ttft }), ...(tpot !== undefined && { tpotMs: tpot }) },
    replicas: { min: least, max: max ?? Math.max(1, least, replicas ?? 1) },
    policy: {
      regions: region.length === 0 ? null : [...region],
      providers: provider.length === 0 ? null : [...provider],
    },
    split: prefillReplicas === 0 ? null : { prefillReplicas, kvQuality },
  }
}

export async function deploy(
  wanted: string,
  flags: DeployFlags,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const client = openControl(flags)
  const model = await findModel(client, wanted)
  const spec = specOf(model.id, flags)
  if (flags.dryRun) return preview(client, spec, output)
  const created = await client.deployments.create({
    body: {
      name: flags.name ?? slugOf(model.name),
      spec,
      ...(flags.servedAs !== undefined && { servedAs: flags.servedAs }),
      ...(flags.replicas !== undefined && { replicas: flags.replicas }),
    },
    idempotencyKey: crypto.randomUUID(),
    signal,
  })
  const deployment = flags.wait ? await waitUntilReady(client, created.id, output, signal) : created
  output.result(deployment, () => summaryOf(deployment))
}

/** A name for a deployment out of a model's: `example/Tiny-8B:q8` becomes `tiny-8b-q8`. */
export const slugOf = (model: string): string =>
  model
    .toLowerCase()
    .replace(/^.*\//, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63) || 'model'

async function preview(client: ApiClient, spec: SpecInput, output: Output): Promise<void> {
  const plan = await client.deployments.preview({ body: { spec } })
  if (plan.placement === null) process.exitCode = EXIT_FAILURE
  output.result(plan, () =>
    [
      ...(plan.placement === null
        ? ['It does not fit now.']
        : [
            plannedTable(plan.placement.stages),
            ...(plan.prefillPlacement === null
              ? []
              : ['For prompts:', plannedTable(plan.prefillPlacement.stages)]),
            `About ${plan.placement.tokenMs.toFixed(1)} ms a token; ${plan.fittingReplicas} such replicas fit side by side.`,
          ]),
      ...(plan.pricePerHour === null ? [] : [`${shownMoney(plan.pricePerHour)} an hour.`]),
      ...plan.reasons.map(shownLine),
    ].join('\n'),
  )
}

type PlannedStage = DeepReadonly<NonNullable<api.PlacementPreview['placement']>>['stages'][number]

const plannedTable = (stages: readonly PlannedStage[]): string =>
  formatTable(
    [
      { title: 'machine' },
      { title: 'device' },
      { title: 'layers' },
      { title: 'weights', align: 'right' },
      { title: 'KV', align: 'right' },
    ],
    stages.map(({ machineName, device, layers, weightBytes, kvBytes }) => [
      machineName,
      device,
      `${layers.first}-${layers.end - 1}`,
      shownBytes(weightBytes),
      shownBytes(kvBytes),
    ]),
  )

const pollMs = 500

/** @throws CommandError if it is being removed; waits through failures, which are tried again */
export async function waitUntilReady(
  client: ApiClient,
  id: string,
  output: Output,
  signal: AbortSignal,
): Promise<Deployment> {
  const progress = output.progress()
  let told = ''
  try {
    for (;;) {
      const { deployment } = await client.deployments.show({ params: { deployment: id }, signal })
      if (deployment.state === 'ready') return deployment
      if (deployment.state === 'removing' || deployment.state === 'paused') {
        throw new CommandError(
          `${deployment.name} is ${deployment.state}.`,
          shownLine(deployment.reason.message),
        )
      }
      const line = `${deployment.name}: ${shownLine(deployment.reason.message)}`
      if (line !== told && !output.interactive) output.note(line)
      told = line
      progress.show(line)
      await sleep(pollMs, null, { signal })
    }
  } finally {
    progress.end()
  }
}

const summaryOf = ({ name, state, servedAs, reason, replicas }: Deployment): string =>
  `${name} is ${state}: ${replicas.ready} of ${replicas.wanted} replicas serve "${servedAs}". ${shownLine(reason.message)}`

export async function listDeployments(flags: ControlFlags, output: Output): Promise<void> {
  const deployments = await all(openControl(flags).deployments.list, {})
  output.result({ deployments }, () =>
    deployments.length === 0
      ? 'Nothing is deployed. Deploy a model with "deos deploy <model>".'
      : formatTable(
          [
            { title: 'name' },
            { title: 'state' },
            { title: 'serves' },
            { title: 'ready', align: 'right' },
            { title: 'revision', align: 'right' },
            { title: 'why' },
          ],
          deployments.map(({ name, state, servedAs, replicas, revision, reason }) => [
            name,
            state,
            servedAs,
            `${replicas.ready}/${replicas.wanted}`,
            String(revision),
            shownLine(reason.message),
          ]),
        ),
  )
}

export async function showDeployment(wanted: string, flags: ControlFlags, output: Output): Promise<void> {
  const client = openControl(flags)
  const { id } = await findDeployment(client, wanted)
  const detail = await client.deployments.show({ params: { deployment: id } })
  const { deployment, replicas } = detail
  output.result(detail, () =>
    [
      formatFields([
        ['name', deployment.name],
        ['id', deployment.id],
        ['state', deployment.state],
        ['why', shownLine(deployment.reason.message)],
        ['serves', deployment.servedAs],
        ['model', deployment.spec.modelId],
        ['revision', String(deployment.revision)],
        ['precision', deployment.spec.precision],
        ['activations', deployment.spec.activations],
        [
          'context',
          `${deployment.spec.contextTokens ?? "the model's"} tokens, ${deployment.spec.sessions} sessions`,
        ],
        [
          'replicas',
          `${deployment.spec.replicas.min} to ${deployment.spec.replicas.max}, ${deployment.replicas.wanted} wanted`,
        ],
        ...(deployment.spec.split === null
          ? []
          : [
              [
                'for prompts',
                `${deployment.prefillReplicas.ready} of ${deployment.spec.split.prefillReplicas} ready, KV ${deployment.spec.split.kvQuality}`,
              ] as const,
            ]),
      ]),
      ...replicas.map((replica) => replicaText(replica)),
    ].join('\n\n'),
  )
}

const roleWords = { both: '', prefill: ', for prompts', decode: ', answering' }

function replicaText({ id, role, state, reason, stages, revision, lastTokenAt }: Replica): string {
  const age = lastTokenAt === null ? '' : ` Last token ${shownAge(lastTokenAt, new Date())}.`
  const head = `${id} (revision ${revision}${roleWords[role]}) is ${state}: ${shownLine(reason.message)}${age}`
  if (stages.length === 0) return head
  const table = formatTable(
    [
      { title: 'stage', align: 'right' },
      { title: 'machine' },
      { title: 'device' },
      { title: 'layers' },
      { title: 'weights', align: 'right' },
      { title: 'KV', align: 'right' },
      { title: 'state' },
    ],
    stages.map(
      ({ position, machineName, device, layers, weightBytes, kvBytes, state: stage, loadedFraction }) => [
        String(position),
        machineName,
        device,
        `${layers.first}-${layers.end - 1}`,
        shownBytes(weightBytes),
        shownBytes(kvBytes),
        loadedFraction === null ? stage : `${stage} ${formatPercent(loadedFraction)}`,
      ],
    ),
  )
  return `${head}\n${table}`
}

export async function scaleDeployment(
  wanted: string,
  replicas: number,
  flags: ControlFlags,
  output: Output,
): Promise<void> {
  const client = openControl(flags)
  const { id } = await findDeployment(client, wanted)
  const deployment = await client.deployments.scale({ params: { deployment: id }, body: { replicas } })
  output.result(deployment, () => `${deployment.name} is to have ${deployment.replicas.wanted} replicas.`)
}

export async function rollbackDeployment(
  wanted: string,
  flags: ControlFlags & { readonly to?: number },
  output: Output,
): Promise<void> {
  const client = openControl(flags)
  const { id } = await findDeployment(client, wanted)
  const body = flags.to === undefined ? {} : { revision: flags.to }
  const deployment = await client.deployments.rollback({ params: { deployment: id }, body })
  output.result(deployment, () => `${deployment.name} goes back to revision ${deployment.revision}.`)
}

export async function pauseDeployment(
  wanted: string,
  flags: ControlFlags & { readonly reason?: string },
  output: Output,
): Promise<void> {
  const client = openControl(flags)
  const { id } = await findDeployment(client, wanted)
  const body = flags.reason === undefined ? {} : { reason: flags.reason }
  const deployment = await client.deployments.pause({ params: { deployment: id }, body })
  output.result(deployment, () => `${deployment.name} is paused.`)
}

export async function resumeDeployment(wanted: string, flags: ControlFlags, output: Output): Promise<void> {
  const client = openControl(flags)
  const { id } = await findDeployment(client, wanted)
  const deployment = await client.deployments.resume({ params: { deployment: id } })
  output.result(deployment, () => `${deployment.name} starts again.`)
}

export async function removeDeployment(
  wanted: string,
  flags: ControlFlags & { readonly reason?: string },
  output: Output,
): Promise<void> {
  const client = openControl(flags)
  const { id, name } = await findDeployment(client, wanted)
  await client.deployments.remove({ params: { deployment: id }, query: { reason: flags.reason } })
  output.result({ removing: id }, () => `${name} finishes what it has and is removed.`)
}

export async function showLogs(
  wanted: string,
  flags: ControlFlags & { readonly follow?: true; readonly lines: number },
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const client = openControl(flags)
  const { id } = await findDeployment(client, wanted)
  const params = { deployment: id }
  const { items } = await client.deployments.logs({ params, query: { limit: flags.lines }, signal })
  const line = (entry: (typeof items)[number]) => {
    output.event(entry)
    output.stream(`${entry.at} ${entry.level.padEnd(5)} ${entry.stageId ?? ''} ${shownLine(entry.message)}\n`)
  }
  for (const entry of [...items].reverse()) line(entry)
  if (!flags.follow) return
  const last = items[0]?.sequence
  const after = last === undefined ? {} : { lastEventId: String(last) }
  for await (const { data } of client.deployments.followLogs({ params, signal, ...after })) line(data)
}
