import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Calibration, CalibrationFitter, partName, readCalibration } from '@deos/codec'
import { bytes, describeError, formatBytes } from '@deos/domain'
import { openModel } from '@deos/engine/weights'
import { ModelCaches } from '../calibration/model-caches.ts'
import { type Continuation, measureSensitivity } from '../calibration/sensitivity.ts'
import { CommandError, UsageError } from '../cli-error.ts'
import type { Interrupts } from '../interrupts.ts'
import type { Output } from '../output.ts'
import { cacheFolder, packageRoot } from '../package-root.ts'
import { formatMilliseconds, formatPercent } from '../text/quantities.ts'
import { formatTable } from '../text/table.ts'

export interface CalibrateOptions {
  readonly text: string | null
  readonly output: string
  readonly threads: number
  /** Tokens of text to fit. */
  readonly tokens: number
}

/** A text that no figure of the documentation is measured on. */
const defaultText = join(packageRoot, 'models', 'calibration.txt')
const CONTEXT_TOKENS = 240
const FOLLOWING_TOKENS = 48
/** One context in so many is not fitted, but shows what levels cost. */
const KEPT = 24
const MAX_KEPT = 4
const TRIALS = 3
/** Expected divergences of the steps, in nats. A guard lets a mean of 0.01 pass. */
const TARGETS = [0.0001, 0.0005, 0.0015, 0.004]

/**
 * Writes a model's calibration file.
 *
 * @throws the model's errors; UsageError for a text that is none; CommandError, before anything is computed, if the file
 *   cannot be written; InterruptedError. Nothing is left behind then.
 */
export async function calibrate(
  path: string,
  options: CalibrateOptions,
  output: Output,
  interrupts: Interrupts,
): Promise<void> {
  const began = performance.now()
  const file = resolve(options.output)
  const source = await openModel(path)
  const { fingerprint: model, config } = source
  const progress = output.progress()
  const maxTokens = Math.min(config.contextLength, CONTEXT_TOKENS + FOLLOWING_TOKENS)
  const { threads, tokens } = options
  const caches = await ModelCaches.open(source, { threads, cacheDir: cacheFolder(), maxTokens })
  try {
    const text = caches.encode(await readText(options.text ?? defaultText)).slice(0, tokens)
    await begin(file)
    const fitter = new CalibrationFitter(caches.parts, caches.rotary)
    const trials = await readContexts(caches, fitter, text, maxTokens - FOLLOWING_TOKENS, (done) => {
      interrupts.signal.throwIfAborted()
      progress.show(`${formatPercent(done)} of ${text.length} tokens`)
    })
    const sensitivity = await measureSensitivity(caches, trials, (part) => {
      interrupts.signal.throwIfAborted()
      progress.show(`how sensitive ${partName(part)} is`)
    })
    progress.show('fitting')
    const content = fitter.finish({ model, modelName: config.name, sensitivity, targets: TARGETS })
    const calibration = readCalibration(content, model)
    // Whoever reads it at this moment finds the old one or the new one.
    await writeFile(partOf(file), content)
    await rename(partOf(file), file)
    progress.end()
    const durationMs = Math.round(performance.now() - began)
    const { id, sizeBytes, steps, costs } = calibration
    output.result({ file, id, model, sizeBytes, tokens: calibration.tokens, steps, costs, durationMs }, () =>
      formatCalibration(file, calibration, durationMs),
    )
  } finally {
    progress.end()
    caches.close()
    await rm(partOf(file), { force: true })
  }
}

const partOf = (file: string): string => `${file}.part`

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new UsageError(
      `The text ${path} cannot be read: ${describeError(cause)}`,
      'Give a file of plain text with --text.',
    )
  }
}

/** So that minutes of computing do not end in a file that cannot be written. */
async function begin(file: string): Promise<void> {
  const hint = 'Give a file in a folder that exists with --out.'
  const there = await stat(file).catch(() => null)
  if (there?.isDirectory()) throw new CommandError(`${file} is a folder.`, hint)
  try {
    await writeFile(partOf(file), '')
  } catch (cause) {
    throw new CommandError(`${file} cannot be written: ${describeError(cause)}`, hint)
  }
}

/** Fits all contexts of a text but some, which are kept; the first few are returned with what follows them. */
async function readContexts(
  caches: ModelCaches,
  fitter: CalibrationFitter,
  text: Int32Array,
  contextTokens: number,
  progress: (done: number) => void,
): Promise<readonly Continuation[]> {
  const stride = contextTokens + FOLLOWING_TOKENS
  const contexts = Math.floor(text.length / stride)
  if (contexts < 2 * TRIALS)
    throw new UsageError(
      `A text of ${text.length} tokens is too short: ${2 * TRIALS * stride} are the least.`,
      'Give a longer one with --text.',
    )
  const trials: Continuation[] = []
  let kept = 0
  for (let index = 0; index < contexts; index += 1) {
    progress(index / contexts)
    const start = index * stride
    const cache = await caches.compute(text.slice(start, start + contextTokens))
    if (index % KEPT === 0 && kept < MAX_KEPT) {
      fitter.keep(cache)
      kept += 1
    } else fitter.fit(cache)
    if (trials.length < TRIALS)
      trials.push({ cache, next: text.slice(start + contextTokens, start + stride) })
  }
  return trials
}

const levelNames = ['L0 exact', 'L1 int8', 'L2 Hadamard int4']

function formatCalibration(file: string, calibration: Calibration, durationMs: number): string {
  const { id, sizeBytes, tokens, costs, steps } = calibration
  const rows = costs.map(({ level, layers }) => [
    levelNames[level] ?? `L3 step ${steps[level - levelNames.length]!.toPrecision(3)}`,
    layers.reduce((sum, { bytesPerToken }) => sum + bytesPerToken, 0).toFixed(0),
    layers.reduce((sum, { harm }) => sum + harm, 0).toFixed(5),
  ])
  const columns = [
    { title: 'level' },
    { title: 'bytes/token', align: 'right' as const },
    { title: 'expected KL (nats)', align: 'right' as const },
  ]
  return (
    `${file}: calibration ${id}, ${formatBytes(bytes(sizeBytes))}, ` +
    `from ${tokens} tokens in ${formatMilliseconds(durationMs)}.\n\n${formatTable(columns, rows)}`
  )
}
