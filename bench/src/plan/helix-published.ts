import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunKind } from './helix-rows.ts'
import type { HelixMethod, HelixRow, HelixSite, ServingMode } from './helix-settings.ts'

/** A line of `published_results.csv`: decode tokens/s by simulation or on real machines. */
export interface PublishedRow extends HelixRow {
  readonly kind: RunKind
  readonly decodeTokensPerSecond: number
  /** p5, p25, p50, p75 and p95 in seconds; empty where none was published. */
  readonly promptSeconds: readonly number[]
  readonly decodeSeconds: readonly number[]
}

const sites: readonly string[] = ['single24', 'geo24'] satisfies HelixSite[]
const methods: readonly string[] = ['Helix', 'Swarm', 'Separate Pipelines'] satisfies HelixMethod[]
const modes: readonly string[] = ['offline', 'online'] satisfies ServingMode[]

/** The rows of the two clusters of 24 machines; those of the ablations, which repeat or vary them, stay out. */
export function readPublishedRows(folder: string): readonly PublishedRow[] {
  const [head, ...lines] = readFileSync(join(folder, 'published_results.csv'), 'utf8').trim().split('\n')
  const names = head!.split(',')
  return lines.flatMap((line) => {
    const cells = new Map(line.split(',').map((cell, at) => [names[at]!.trim(), cell.trim()]))
    const text = (name: string) => cells.get(name) ?? ''
    const isSite = (value: string): value is HelixSite => sites.includes(value)
    const isMethod = (value: string): value is HelixMethod => methods.includes(value)
    const isMode = (value: string): value is ServingMode => modes.includes(value)
    const [site, method, mode, kind] = [text('cluster'), text('method'), text('mode'), text('kind')]
    if (!isSite(site) || !isMethod(method) || !isMode(mode)) return []
    if ((kind !== 'simulation' && kind !== 'prototype') || /placement|scheduling/.test(text('figure')))
      return []
    const seconds = (phase: string) =>
      [5, 25, 50, 75, 95]
        .map((share) => text(`${phase}_p${share}_s`))
        .filter((cell) => cell !== '')
        .map(Number)
    return [
      {
        site,
        method,
        mode,
        kind,
        model: text('model') === 'LLaMA-30B' ? ('llama1_30b' as const) : ('llama2_70b' as const),
        decodeTokensPerSecond: Number(text('decode_tokens_per_s')),
        promptSeconds: seconds('prompt'),
        decodeSeconds: seconds('decode'),
      },
    ]
  })
}

export const rowName = ({ site, model, mode, method }: HelixRow) =>
  [site, model === 'llama1_30b' ? '30b' : '70b', mode, method.toLowerCase().replaceAll(' ', '-')].join('.')
