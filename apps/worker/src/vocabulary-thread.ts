/** Entry of the thread that reads a model's vocabulary: of a large one that takes a second, and much memory meanwhile. */
import { parentPort, workerData } from 'node:worker_threads'
import { readVocabulary } from '@deos/engine/grammar'
import { loadTokenizer } from '@deos/engine/tokenizer'
import { openModel } from '@deos/engine/weights/open-model'

const source = await openModel(workerData as string)
const vocabulary = readVocabulary(await loadTokenizer(source), source.config.vocabSize)
const { bytes, offsets, special } = vocabulary
parentPort!.postMessage(vocabulary, [bytes.buffer, offsets.buffer, special.buffer])
