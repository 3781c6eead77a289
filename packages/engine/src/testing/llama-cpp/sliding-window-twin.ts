import { array, float32, type GgufValue, string } from '../../weights/gguf-values.ts'
import {
  type ModelSource,
  type PlannedTensor,
  readGgufHeader,
  readTensor,
  writeGguf,
} from '../../weights/index.ts'

/** The architecture of llama.cpp whose graph is Llama's with a window in chosen layers, an attention sink and scales. */
const twinArchitecture = 'granite_swa'

/** A sink takes part in softmax as one more score; this one's share is zero. */
const noSink = -1e30

/**
 * Writes a Mistral as a model of another family that computes the same. llama.cpp counts Mistral among the Llamas and
 * ignores its sliding window, so the file as it is cannot serve for comparison beyond the window.
 *
 * @param source - a GGUF file of architecture `llama` with a sliding window
 */
export async function writeSlidingWindowTwin(source: ModelSource, path: string): Promise<void> {
  const { config } = source
  if (source.format !== 'gguf' || config.architecture !== 'llama' || config.slidingWindow === null) {
    throw new RangeError(`${source.path} is not a GGUF file of a Llama with a sliding window.`)
  }
  const { metadata } = await readGgufHeader(source.path)
  const everyLayer = Array.from({ length: config.layers }, () => true)
  const added: [string, GgufValue][] = [
    [`${twinArchitecture}.attention.sliding_window_pattern`, array('bool', everyLayer)],
    [`${twinArchitecture}.logit_scale`, float32(1)],
  ]
  const tensors = await Promise.all([...source.tensors.values()].map(copyOf))
  const sinks = Array.from({ length: config.layers }, (_, layer) => sinkOf(layer, config.heads))
  await writeGguf({ path, metadata: [...renamed(metadata), ...added], tensors: [...tensors, ...sinks] })
}

function* renamed(metadata: ReadonlyMap<string, GgufValue>): Iterable<[string, GgufValue]> {
  for (const [key, value] of metadata) {
    if (key === 'general.architecture') yield [key, string(twinArchitecture)]
    else yield [key.replace(/^llama\./, `${twinArchitecture}.`), value]
  }
}

async function copyOf(tensor: Parameters<typeof readTensor>[0]): Promise<PlannedTensor> {
  const values = await readTensor(tensor)
  return { name: tensor.name, type: 'F32', shape: tensor.shape, data: () => [new Uint8Array(values.buffer)] }
}

function sinkOf(layer: number, heads: number): PlannedTensor {
  const values = new Float32Array(heads).fill(noSink)
  const data = () => [new Uint8Array(values.buffer)]
  return { name: `blk.${layer}.attn_sinks.weight`, type: 'F32', shape: [heads], data }
}
