import { resolve } from 'node:path'
import { bytes, formatBytes } from '@deos/domain'
import { type ConversionReport, convertModel, openModel, type WeightType } from '@deos/engine/weights'
import type { Interrupts } from '../interrupts.ts'
import type { Output } from '../output.ts'
import { formatMilliseconds, formatPercent } from '../text/quantities.ts'

export interface ConvertOptions {
  readonly type: WeightType | 'native'
  readonly output: string
  readonly force: boolean
}

/** Writes a model as one GGUF file. @throws the model's errors; InterruptedError, with nothing left behind */
export async function convert(
  path: string,
  options: ConvertOptions,
  output: Output,
  interrupts: Interrupts,
): Promise<void> {
  const began = performance.now()
  const source = await openModel(path)
  const progress = output.progress()
  try {
    const report = await convertModel({
      source,
      type: options.type,
      output: resolve(options.output),
      overwrite: options.force,
      signal: interrupts.signal,
      onProgress: ({ tensor, doneBytes, totalBytes }) =>
        progress.show(
          `${formatPercent(doneBytes / Math.max(1, totalBytes))} of ${formatBytes(bytes(totalBytes))} · ${tensor}`,
        ),
    })
    progress.end()
    const durationMs = Math.round(performance.now() - began)
    output.result({ ...report, type: options.type, durationMs }, () => formatConversion(report, durationMs))
  } finally {
    progress.end()
  }
}

export function formatConversion(report: ConversionReport, durationMs: number): string {
  const { output, sizeBytes, tensors, fallbacks, notes } = report
  const byTypes = new Map<string, number>()
  for (const { wanted, used } of fallbacks) {
    const key = `${wanted} does not divide their rows; stored as ${used}`
    byTypes.set(key, (byTypes.get(key) ?? 0) + 1)
  }
  return [
    `${output}: ${formatBytes(bytes(sizeBytes))}, ${tensors} tensors, in ${formatMilliseconds(durationMs)}.`,
    ...[...byTypes].map(([what, count]) => `${count} matrices: ${what}.`),
    ...notes,
  ].join('\n')
}
