import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadTokenizer } from '@deos/engine/tokenizer'
import { convertModel, openModel } from '@deos/engine/weights'
import { measuredFigure, median, skippedFigure } from '../contract.ts'
import { measurePairs } from '../pairs.ts'
import { greedy } from '../ring/workload.ts'
import { ServerFailedError } from '../serve/completion-client.ts'
import { LlamaRpc } from './llama-rpc.ts'
import { type PlacedRing, PROMPT_TOKENS, SESSION_TOKENS, STAGES, type WanRingOptions } from './placed-ring.ts'
import { steadyRate } from './steady-rate.ts'

const single = { id: 'wan.single.vs-llama-rpc', unit: 'ratio', better: 'lower' } as const
const saturated = { id: 'wan.saturated.vs-llama-rpc', unit: 'ratio', better: 'higher' } as const
/** As many sequences as llama.cpp takes. */
const PEER_SESSIONS = 256

const topology =
  'One RPC server of llama.cpp in each region, on the address of the ring’s worker there; its main process beside the ' +
  'first, where the ring’s gateway is, dialling through the same proxy and a relay on loopback. It carries hidden states ' +
  'between RPC servers itself, as its protocol has no path from one to the next, and decodes all sessions in one batch.'

/** A ring beside llama.cpp's RPC servers in the same regions of the same emulator: same model, KV type and threads. */
export async function measureBesideLlamaRpc(options: WanRingOptions, placed: PlacedRing) {
  if (options.peer === null) {
    const reason = 'no --peer-llama'
    const figures = [single, saturated].map((terms) => skippedFigure({ ...terms, reason }))
    return { figures, raw: { skipped: reason } }
  }
  const folder = join(options.cacheDir, 'wan-llama-rpc')
  mkdirSync(folder, { recursive: true })
  options.progress('starting llama.cpp with RPC servers in the same regions')
  const peer = await LlamaRpc.start({
    ...{ binaries: options.peer, sites: placed.sites.slice(0, STAGES), folder },
    ...{ modelPath: await asGguf(options.model, folder), slots: PEER_SESSIONS, slotTokens: SESSION_TOKENS },
  })
  try {
    const prompts = await textPrompts(options)
    const alone = await measureSingle(options, prompts, placed, peer)
    const many = await measureSaturated(options, prompts, placed, peer).catch(skippedByFailure)
    return {
      figures: [alone.figure, many.figure],
      raw: { topology, libraries: peer.note, single: alone.raw, saturated: many.raw },
    }
  } finally {
    await peer.stop()
  }
}

/** A peer that breaks off under load costs this figure only. */
function skippedByFailure(error: unknown) {
  if (!(error instanceof ServerFailedError)) throw error
  return { figure: skippedFigure({ ...saturated, reason: error.message }), raw: { failed: error.message } }
}

/** The model as llama.cpp reads it, elements unchanged. */
async function asGguf(model: string, folder: string): Promise<string> {
  const source = await openModel(model)
  if (source.format === 'gguf') return model
  const output = join(folder, 'model.gguf')
  await convertModel({ source, type: 'native', output, overwrite: true })
  return output
}

/** Stretches of a text, one a session: llama.cpp refuses to go on once a model told random tokens has said bytes that are no UTF-8. */
async function textPrompts({ model, textPath, sessions }: WanRingOptions): Promise<readonly Int32Array[]> {
  const tokenizer = await loadTokenizer(await openModel(model))
  const tokens = tokenizer.encode(readFileSync(textPath, 'utf8'))
  const count = Math.max(sessions, PEER_SESSIONS)
  const apart = Math.floor((tokens.length - PROMPT_TOKENS) / count)
  return Array.from({ length: count }, (_, index) =>
    tokens.slice(index * apart, index * apart + PROMPT_TOKENS),
  )
}

async function measureSingle(
  { quick, progress }: WanRingOptions,
  prompts: readonly Int32Array[],
  placed: PlacedRing,
  peer: LlamaRpc,
) {
  const prompt = prompts[0]!
  const maxTokens = quick ? 24 : 48
  const pairs = await measurePairs({
    n: quick ? 3 : 5,
    a: async () => tokenMs((await placed.ring.generate(prompt, maxTokens, greedy)).arrivalsMs),
    b: async () => tokenMs((await peer.client.complete({ prompt: [...prompt], maxTokens })).tokensMs),
  })
  progress(`one session: ${pairs.medianRatio.toFixed(2)} of llama.cpp's time a token`)
  return {
    figure: measuredFigure({ ...single, samples: pairs.ratios }),
    raw: { unit: 'ms a token', ring: pairs.a, llamaRpc: pairs.b },
  }
}

const tokenMs = (arrivalsMs: readonly number[]): number =>
  median(arrivalsMs.slice(1).map((atMs, index) => atMs - arrivalsMs[index]!))

async function measureSaturated(
  { quick, sessions, progress }: WanRingOptions,
  prompts: readonly Int32Array[],
  placed: PlacedRing,
  peer: LlamaRpc,
) {
  const ringPrompts = prompts.slice(0, sessions)
  const peerPrompts = prompts.slice(0, PEER_SESSIONS)
  const pairs = await measurePairs({
    n: quick ? 1 : 3,
    a: () => placed.saturatedRate(ringPrompts, quick ? 32 : 96),
    b: () => peerRate(peer, peerPrompts, quick ? 16 : 48),
    // Both have run already.
    warmUps: 0,
  })
  progress(`saturated: ${pairs.medianRatio.toFixed(1)} times llama.cpp's tokens/s`)
  return {
    figure: measuredFigure({ ...saturated, samples: pairs.ratios }),
    raw: { unit: 'tokens/s', sessions, llamaSessions: PEER_SESSIONS, ring: pairs.a, llamaRpc: pairs.b },
  }
}

/** Tokens that end amid a character show with the next one, so events are counted for as many as there were. */
async function peerRate(peer: LlamaRpc, prompts: readonly Int32Array[], maxTokens: number): Promise<number> {
  const records = await Promise.all(
    prompts.map((prompt) => peer.client.complete({ prompt: [...prompt], maxTokens })),
  )
  const events = records.flatMap(({ tokensMs }) => tokensMs)
  return (steadyRate(events) * maxTokens * prompts.length) / events.length
}
