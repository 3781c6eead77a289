import { type KvLink, predictTransfer } from '@deos/planner'
import { type Figure, measuredFigure, median } from '../contract.ts'
import { promptsOf } from '../ring/workload.ts'
import {
  allCells,
  connectionRate,
  exposedBoundMs,
  nameOfCell,
  quickCells,
  type SplitCell,
  soleRate,
} from './split-cell.ts'
import { SplitGateway } from './split-gateway.ts'
import { type HandoverTimes, SplitLab, type SplitLabOptions } from './split-lab.ts'
import { WorkerRing } from './worker-ring.ts'

export interface MeasureSplitOptions {
  readonly quick: boolean
  readonly modelPath: string
  readonly cacheDir: string
  /** `dist/wan.mjs`, `dist/worker.mjs`, `dist/gateway.mjs`. */
  readonly wanEntry: string
  readonly workerEntry: string
  readonly gatewayEntry: string
  progress(line: string): void
}

const LAYERS = 8
const PARTS = 2
/** Stages end elsewhere in the two rings. */
const PREFILL_ENDS = [2, 4, 6, 8]
const DECODE_ENDS = [4, 8]
const CHUNK_TOKENS = 128
const CHUNKS = 3
const PROMPT_TOKENS = CHUNKS * CHUNK_TOKENS + 1
const ANSWER_TOKENS = 8
const VOCABULARY = 4_096
/** K and V of a chunk in halves: 4 heads of 32. */
const RAW_BLOCK_BYTES = CHUNK_TOKENS * 4 * 32 * 2
/** Computing a chunk takes so much longer than sending it: else no order of sending hides it. */
const COMPUTE_MARGIN = 1.2
const SLOWEST = 0.002
/** At least so long, since all machines of both rings share the cores of this one. */
const LEAST_STAGE_MS = 100

interface Cell {
  readonly cell: SplitCell
  /** That a stage took for a chunk, and one layer at full speed. */
  readonly stageMs: number
  readonly layerMs: number
  readonly blockBytes: number
  readonly boundMs: number
  readonly predictedMs: number
  readonly exposedMs: readonly number[]
  readonly identical: readonly boolean[]
  readonly notes: readonly string[]
  readonly kill: KillCount
}

interface KillCount {
  readonly identical: boolean
  /** What the gateway said. */
  readonly note: string
  /** Blocks that each stage sent a second time. */
  readonly sentAgain: readonly number[]
  readonly cameAgain: number
  /** Bytes that came beyond those of all blocks, in blocks: what came twice, in whole or in part. */
  readonly deliveredAgain: number
}

/** Prompts handed over between two real rings on every kind of way. */
export async function measureSplit(options: MeasureSplitOptions) {
  const lab: SplitLabOptions = {
    ...options,
    ...{ prefillEnds: PREFILL_ENDS, decodeEnds: DECODE_ENDS },
    ...{ chunkTokens: CHUNK_TOKENS, contextLength: 1_024 },
  }
  const { quick, progress } = options
  const runs = 3
  const cells = quick ? quickCells : allCells
  const prompts = promptsOf(VOCABULARY, runs + 2, PROMPT_TOKENS).map((prompt) => [...prompt])
  progress('one ring alone')
  const alone = await measureAlone(lab, prompts)
  const measured: Cell[] = []
  let layerMs = alone.layerMs
  for (const cell of cells) {
    const result = await measureCell(lab, cell, { texts: alone.texts, layerMs }, prompts)
    measured.push(result)
    // Whatever slowed it down meanwhile may be gone: better too slow than faster than blocks can leave.
    layerMs = Math.min(layerMs, result.layerMs)
    const { exposedMs, boundMs, predictedMs } = result
    progress(
      `${nameOfCell(cell)}: ${median(exposedMs).toFixed(0)} ms exposed, ${predictedMs.toFixed(0)} predicted, ` +
        `${boundMs.toFixed(0)} allowed`,
    )
  }
  return { figures: figuresOf(measured), raw: rawOf(measured) }
}

interface Alone {
  readonly texts: readonly string[]
  /** That one layer takes for a chunk. */
  readonly layerMs: number
}

/** What the whole model says when one worker computes and decodes. */
async function measureAlone(lab: SplitLabOptions, prompts: readonly (readonly number[])[]): Promise<Alone> {
  const place = { host: '127.0.0.1', proxy: '' }
  const ring = new WorkerRing({ ...lab, name: 'alone', ends: [LAYERS], speed: 1, place })
  await ring.start()
  const { gatewayEntry, modelPath, chunkTokens: blockTokens } = lab
  const gateway = new SplitGateway({
    gatewayEntry,
    modelPath,
    decode: ring,
    prefill: null,
    blockTokens,
    proxy: '',
  })
  try {
    await gateway.start()
    const texts: string[] = []
    const times: number[] = []
    for (const prompt of prompts) {
      // Other tokens, so that nothing of it is cached.
      const other = prompt.map((token) => (token + 1) % VOCABULARY)
      const beganMs = performance.now()
      await gateway.answer(other, 1)
      times.push(performance.now() - beganMs)
      texts.push((await gateway.answer(prompt, ANSWER_TOKENS)).text)
    }
    return { texts, layerMs: median(times.slice(1)) / CHUNKS / LAYERS }
  } finally {
    await gateway.stop()
    await ring.stop()
  }
}

async function measureCell(
  options: SplitLabOptions,
  cell: SplitCell,
  alone: Alone,
  prompts: readonly (readonly number[])[],
): Promise<Cell> {
  const stageLayers = LAYERS / PREFILL_ENDS.length
  const sendMs = (1000 * stageLayers * PARTS * RAW_BLOCK_BYTES) / connectionRate(cell, PREFILL_ENDS.length)
  const wantedMs = Math.max(LEAST_STAGE_MS, COMPUTE_MARGIN * sendMs)
  const speed = Math.max(SLOWEST, Math.min(1, (stageLayers * alone.layerMs) / wantedMs))
  const lab = await SplitLab.start(options, cell, speed)
  try {
    // Code is compiled and links are made meanwhile.
    await lab.handOver(prompts[0]!, ANSWER_TOKENS)
    const times: HandoverTimes[] = []
    for (const prompt of prompts.slice(1, -1)) times.push(await lab.handOver(prompt, ANSWER_TOKENS))
    const all = times.flatMap(({ sent }) => sent)
    const blockBytes = sum(all.map(({ bytes }) => bytes)) / sum(all.map(({ blocks }) => blocks))
    const overhead = median(times.map(({ deliveredBytes, sent }) => deliveredBytes - bytesOf(sent)))
    const half = Math.round(bytesOf(times[0]!.sent) / 2)
    const killed = await lab.handOver(prompts.at(-1)!, ANSWER_TOKENS, half)
    const stageMs = median(times.map(({ firstStageMs }) => firstStageMs - cell.rttMs)) / CHUNKS
    return {
      ...{ cell, stageMs, layerMs: (stageMs * speed) / stageLayers, blockBytes },
      boundMs: exposedBoundMs(cell, blockBytes, PARTS),
      predictedMs: predictedMs(cell, stageMs, blockBytes),
      exposedMs: times.map(({ exposedMs }) => exposedMs),
      identical: times.map(({ text }, index) => text === alone.texts[index + 1]),
      notes: times.map(({ note }) => note),
      kill: {
        identical: killed.text === alone.texts.at(-1),
        note: killed.note,
        sentAgain: killed.sent.map(({ again }) => again),
        cameAgain: killed.cameAgain,
        deliveredAgain: (killed.deliveredBytes - uniqueBytes(killed) - overhead) / blockBytes,
      },
    }
  } finally {
    await lab.stop()
  }
}

const bytesOf = (sent: HandoverTimes['sent']): number => sum(sent.map(({ bytes }) => bytes))
/** Bytes of all blocks, each once. */
const uniqueBytes = ({ sent }: HandoverTimes): number =>
  sum(sent.map(({ bytes, blocks, again }) => (bytes * (blocks - again)) / blocks))

/** Blocks leave layer by layer. */
function predictedMs(cell: SplitCell, stageMs: number, blockBytes: number): number {
  const ranges = (ends: readonly number[]) => ends.map((end, stage) => ({ first: ends[stage - 1] ?? 0, end }))
  const senders = ranges(PREFILL_ENDS)
  const computeMs = new Array<number>(LAYERS).fill(stageMs / (LAYERS / PREFILL_ENDS.length))
  const sizeBytes = new Array<number>(LAYERS).fill(PARTS * blockBytes)
  const bytesPerSecond = soleRate(cell)
  const windowBytes = (bytesPerSecond * (cell.rttMs + 50)) / 1000
  const link: KvLink = { bytesPerSecond, rttMs: cell.rttMs, windowBytes }
  return predictTransfer({
    chunks: new Array(CHUNKS).fill({ computeMs, sizeBytes }),
    ...{ senders, receivers: ranges(DECODE_ENDS), hopMs: 0, link: () => link },
  }).exposedMs
}

function figuresOf(cells: readonly Cell[]): readonly Figure[] {
  const identical = cells.flatMap(({ identical: same, kill }) => [...same, kill.identical])
  const kills = cells.map(({ kill }) => kill)
  return [
    exposedFigure(
      'pd.exposed.worst',
      cells.filter(({ cell }) => cell.loss === 0),
    ),
    exposedFigure(
      'pd.exposed.worstWithLoss',
      cells.filter(({ cell }) => cell.loss > 0),
    ),
    measuredFigure({
      ...{ id: 'pd.identical', unit: 'share', better: 'higher', bar: 1 },
      samples: [identical.filter(Boolean).length / identical.length],
    }),
    // By what came out of the way, so that half a block counts as half of one.
    measuredFigure({
      ...{ id: 'pd.resent.blocks', unit: 'blocks per link', better: 'lower', bar: 1 },
      samples: [Math.max(...kills.map(({ deliveredAgain }) => deliveredAgain))],
    }),
    measuredFigure({
      ...{ id: 'pd.lost.blocks', unit: 'blocks per link', better: 'lower' },
      samples: kills.map(({ sentAgain }) => Math.max(...sentAgain)),
    }),
  ]
}

function exposedFigure(id: string, cells: readonly Cell[]): Figure {
  const worst = cells.reduce((a, b) => (ratioOf(a) > ratioOf(b) ? a : b))
  return measuredFigure({
    ...{ id, unit: 'of the bound', better: 'lower', bar: 1 },
    samples: worst.exposedMs.map((ms) => ms / worst.boundMs),
    predicted: worst.predictedMs / worst.boundMs,
  })
}

const ratioOf = ({ exposedMs, boundMs }: Cell): number => median(exposedMs) / boundMs

const rawOf = (cells: readonly Cell[]) => ({
  assumptions:
    'Computing a chunk takes longer than sending it (the prefill ring is slowed down as far as that needs); the ' +
    'gateway stands beside the decode ring. Exposed: from the end of the last stage’s last step until the decode ring ' +
    'owns the session. Allowed: what keys and values of the last chunk’s last layer, and then one more block, take on ' +
    'the way, each with the delay of one direction. In the end of each cell the connection that brings the middle byte ' +
    'of a prompt is cut: bytes that came twice are resent, blocks that were under way and never came are lost.',
  ...{ layers: LAYERS, prefillEnds: PREFILL_ENDS, decodeEnds: DECODE_ENDS },
  ...{ chunkTokens: CHUNK_TOKENS, promptTokens: PROMPT_TOKENS },
  cells,
})

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
