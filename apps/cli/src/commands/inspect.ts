import { bytes, type ExpertConfig, formatBytes } from '@deos/domain'
import {
  describeModel,
  type ModelDescription,
  type ModelSource,
  openModel,
  type PartDescription,
} from '@deos/engine/weights'
import type { Output } from '../output.ts'
import { isInstruct, readChatTemplate } from '../ring/chat-template.ts'
import { formatCount } from '../text/quantities.ts'
import { formatFields, formatTable } from '../text/table.ts'

const shownTypes = ['F16', 'Q8_0', 'Q4_K'] as const

/** Prints what a model is made of. @throws the model's errors */
export async function inspect(path: string, output: Output): Promise<void> {
  const source = await openModel(path, { vocabulary: false })
  const description = describeModel(source)
  const template = await readChatTemplate(source)
  output.result(inspectionJson(source, description, template), () =>
    formatInspection(source, description, template),
  )
}

export function inspectionJson(source: ModelSource, description: ModelDescription, template: string | null) {
  return {
    path: source.path,
    format: source.format,
    fingerprint: source.fingerprint,
    tensors: source.tensors.size,
    types: countTypes(source),
    tokenizer: tokenizerFacts(source, template),
    ...description,
  }
}

function countTypes(source: ModelSource): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { type } of source.tensors.values()) counts[type] = (counts[type] ?? 0) + 1
  return counts
}

function tokenizerFacts({ config }: ModelSource, template: string | null) {
  return {
    vocabSize: config.vocabSize,
    bosToken: config.bosToken,
    eosTokens: config.eosTokens,
    chatTemplate: template !== null,
    instruct: isInstruct(template),
  }
}

const size = (value: number | null): string => (value === null ? '–' : formatBytes(bytes(value)))

/** Layers that weigh the same are one row. */
function partRows(description: ModelDescription): readonly (readonly string[])[] {
  const row = (name: string, part: PartDescription, flops: number) => [
    name,
    formatCount(part.parameters),
    size(part.storedBytes),
    ...shownTypes.map((type) => size(part.bytes[type])),
    formatCount(flops),
  ]
  const { layers, flops } = description
  const groups: { first: number; end: number; part: PartDescription }[] = []
  for (const [index, part] of layers.entries()) {
    const last = groups.at(-1)
    const same = last?.part.parameters === part.parameters && last.part.storedBytes === part.storedBytes
    if (last && same) last.end = index + 1
    else groups.push({ first: index, end: index + 1, part })
  }
  return [
    row('embedding', description.embedding, 0),
    ...groups.map(({ first, end, part }) => {
      const name = end - first === 1 ? `layer ${first}` : `layers [${first}, ${end}), each`
      return row(name, part, flops.linearOfLayers[first]!)
    }),
    row('head', description.head, flops.head),
    row(
      'all',
      description,
      flops.linearOfLayers.reduce((sum, each) => sum + each, flops.head),
    ),
  ]
}

function ropeText({
  ropeScaling,
  ropeTheta,
  ropeDim,
  headDim,
  latentAttention,
}: ModelSource['config']): string {
  const part = ropeDim === headDim || latentAttention !== null ? '' : ` of ${ropeDim} dimensions`
  const base = `rotary${part} θ ${ropeTheta}`
  if (ropeScaling.type === 'none') return base
  if (ropeScaling.type === 'longrope')
    return `${base}, scaled beyond ${ropeScaling.originalContext} (longrope)`
  return `${base}, scaled ${ropeScaling.factor}× (${ropeScaling.type})`
}

export function formatInspection(
  source: ModelSource,
  description: ModelDescription,
  template: string | null,
): string {
  const { config } = source
  const types = Object.entries(countTypes(source)).map(([type, count]) => `${count} ${type}`)
  const chat =
    template === null
      ? 'no chat template'
      : isInstruct(template)
        ? 'chat template'
        : 'base model, plain template'
  const facts = formatFields([
    ['model', `${config.name} (${config.architecture})`],
    ['path', `${source.path} (${source.format})`],
    ['parameters', formatCount(description.parameters)],
    ['size', `${size(description.storedBytes)} in ${source.tensors.size} tensors: ${types.join(', ')}`],
    ['shape', `${config.layers} layers, hidden ${config.hiddenSize}, feed-forward ${config.feedForwardSize}`],
    ...(config.experts ? [['experts', expertsText(config.experts)] as const] : []),
    ['attention', `${headsText(config)}${windowText(config)}`],
    ['positions', `${config.contextLength}, ${ropeText(config)}`],
    ['tokenizer', `${config.vocabSize} tokens, ${chat}`],
    [
      'KV cache',
      `${size(description.kvBytesPerToken.f16)} per token in F16, ${size(description.kvBytesPerToken.f32)} in F32`,
    ],
  ])
  const columns = [
    { title: 'part' },
    { title: 'parameters', align: 'right' as const },
    { title: 'stored', align: 'right' as const },
    ...shownTypes.map((type) => ({ title: `as ${type}`, align: 'right' as const })),
    { title: 'FLOPs/token', align: 'right' as const },
  ]
  const decode = formatTable(
    [{ title: 'work' }, { title: 'tokens', align: 'right' }, { title: 'FLOPs', align: 'right' }],
    [
      ...description.flops.decode.map(({ context, flops }) => [
        'decode one token with a context of',
        String(context),
        formatCount(flops),
      ]),
      ...description.flops.prefill.map(({ promptTokens, flops }) => [
        'prefill a prompt of',
        String(promptTokens),
        formatCount(flops),
      ]),
    ],
  )
  const note = config.tiedEmbeddings
    ? '\nThe head multiplies by the embedding matrix; it is counted once.'
    : ''
  return `${facts}\n\n${formatTable(columns, partRows(description))}${note}\nFLOPs leave out attention scores, which grow with the context:\n\n${decode}\n`
}

function expertsText(experts: ExpertConfig): string {
  const { count, used, feedForwardSize, sharedFeedForwardSize } = experts
  const shared = sharedFeedForwardSize === 0 ? '' : `, besides a shared one of ${sharedFeedForwardSize}`
  return `${count} of feed-forward ${feedForwardSize}, ${used} for each token${shared}`
}

function headsText({ heads, kvHeads, headDim, ropeDim, latentAttention }: ModelSource['config']): string {
  if (latentAttention === null) return `${heads} heads, ${kvHeads} KV heads of ${headDim}`
  return `${heads} heads of ${headDim}, K and V compressed to ${latentAttention.kvRank} + ${ropeDim}`
}

function windowText({ slidingWindow, layers }: ModelSource['config']): string {
  if (slidingWindow === null) return ''
  const windowed = slidingWindow.layers.filter(Boolean).length
  const where = windowed === layers ? '' : ` in ${windowed} of ${layers} layers`
  const kind = slidingWindow.kind === 'chunked' ? 'chunks' : 'window'
  return `, ${kind} of ${slidingWindow.size}${where}`
}
