import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type * as api from '@deos/sdk'
import type { ApiClient } from '@deos/sdk'
import { CommandError, UsageError } from '../cli-error.ts'
import type { Output } from '../output.ts'
import { formatPercent } from '../text/quantities.ts'
import { formatTable } from '../text/table.ts'
import { type ControlFlags, openControl } from './connection.ts'
import { all, findModel } from './find.ts'
import { shownBytes, shownLine } from './shown.ts'

type Model = api.DeepReadonly<api.Model>

export interface AddModelFlags extends ControlFlags {
  readonly name?: string
  readonly file?: string
  readonly revision?: string
  readonly wait: boolean
}

/**
 * A path of this machine, or a repository on the Hugging Face hub with `hf:` before it where a path could be meant.
 *
 * @throws UsageError if it is neither
 */
export function sourceOf(
  text: string,
  { file, revision }: Pick<AddModelFlags, 'file' | 'revision'>,
): Parameters<ApiClient['models']['create']>[0]['body']['source'] {
  const repository = /^(?:hf:)?([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)$/.exec(text)?.[1]
  if (existsSync(text) && !text.startsWith('hf:')) {
    if (file !== undefined || revision !== undefined) {
      throw new UsageError(
        `${text} is a path here; --file and --revision are for the hub.`,
        'Write hf:owner/name for the hub.',
      )
    }
    return { kind: 'path', path: resolve(text) }
  }
  if (repository !== undefined) {
    return {
      kind: 'huggingface',
      repository,
      ...(revision !== undefined && { revision }),
      ...(file !== undefined && { file }),
    }
  }
  throw new UsageError(
    `"${text}" is neither a path here nor a repository.`,
    'Give a path, or owner/name on the hub.',
  )
}

export async function addModel(
  text: string,
  flags: AddModelFlags,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const source = sourceOf(text, flags)
  const client = openControl(flags)
  const created = await client.models.create({
    body: { source, ...(flags.name !== undefined && { name: flags.name }) },
    idempotencyKey: crypto.randomUUID(),
    signal,
  })
  const model = flags.wait ? await waitForModel(client, created, output, signal) : created
  output.result(model, () =>
    model.state === 'ready'
      ? `${model.name} is ready: ${shownBytes(model.sizeBytes)}, ${model.shape?.layers ?? '?'} layers.`
      : `${model.name} is ${model.state}.`,
  )
}

/** @throws CommandError if it fails */
export async function waitForModel(
  client: ApiClient,
  model: Pick<Model, 'id' | 'state' | 'reason'>,
  output: Output,
  signal: AbortSignal,
): Promise<Model> {
  const progress = output.progress()
  try {
    for await (const { data } of client.models.watch({ params: { model: model.id }, signal })) {
      if (data.state === 'ready') return data
      if (data.state === 'failed') {
        throw new CommandError(
          shownLine(data.reason.message),
          `Try again with "deos model retry ${data.name}".`,
        )
      }
      progress.show(progressOf(data))
    }
    return await client.models.show({ params: { model: model.id }, signal })
  } finally {
    progress.end()
  }
}

function progressOf({ name, state, progress }: Pick<Model, 'name' | 'state' | 'progress'>): string {
  if (progress === null) return `${name} is ${state}`
  const { doneBytes, totalBytes, bytesPerSecond } = progress
  const share = totalBytes === null || totalBytes === 0 ? '' : ` (${formatPercent(doneBytes / totalBytes)})`
  const speed = bytesPerSecond === null ? '' : `, ${shownBytes(Math.round(bytesPerSecond))}/s`
  return `${name} is ${state}: ${shownBytes(doneBytes)}${share}${speed}`
}

export async function listModels(flags: ControlFlags, output: Output): Promise<void> {
  const models = await all(openControl(flags).models.list, {})
  output.result({ models }, () =>
    models.length === 0
      ? 'No model is registered. Add one with "deos model add <path or repository>".'
      : formatTable(
          [
            { title: 'name' },
            { title: 'state' },
            { title: 'size', align: 'right' },
            { title: 'layers', align: 'right' },
            { title: 'context', align: 'right' },
            { title: 'from' },
          ],
          models.map(({ name, state, sizeBytes, shape, source }) => [
            name,
            state,
            shownBytes(sizeBytes),
            String(shape?.layers ?? ''),
            String(shape?.contextTokens ?? ''),
            sourceText(source),
          ]),
        ),
  )
}

const sourceText = (source: Model['source']): string =>
  source.kind === 'path' ? source.path : `hf:${source.repository}`

export async function retryModel(wanted: string, flags: ControlFlags, output: Output): Promise<void> {
  const client = openControl(flags)
  const { id } = await findModel(client, wanted)
  const model = await client.models.retry({ params: { model: id } })
  output.result(model, () => `${model.name} is ${model.state}.`)
}

export async function removeModel(wanted: string, flags: ControlFlags, output: Output): Promise<void> {
  const client = openControl(flags)
  const { id, name } = await findModel(client, wanted)
  await client.models.remove({ params: { model: id } })
  output.result({ removed: id }, () => `${name} is removed.`)
}
