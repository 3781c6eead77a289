import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { measureKv } from './kv/measure-kv.ts'
import { countFlag, runBench } from './run-bench.ts'

const models = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'models')
const otherText = join(models, '..', 'docs', 'api.md')

await runBench({
  name: 'kv',
  options: {
    model: { type: 'string' },
    text: { type: 'string' },
    'other-text': { type: 'string' },
    threads: { type: 'string' },
    'cache-dir': { type: 'string' },
  },
  usage: `Size and quality of K and V in Q8_0 and Q4_0 beside F16: perplexity of a text, and how often the likeliest token
is the same. Then bytes and quality of every level of the KV codec beside other methods, on the same caches, and what
the guard catches. A full run takes about eight minutes on a free core.

  --model PATH     GGUF file or Hugging Face folder with its tokenizer (default: the embedded model)
  --text PATH      text to read (default: the embedded model's held-out text)
  --other-text PATH  text unlike it, to see bases drift (default: a page of this project's documentation)
  --threads N      threads of the model (default 1: threads that wait for each other are slow where others compute)
  --cache-dir DIR  where converted weights are kept (default ~/.deos/cache/bench)`,
  run: ({ quick, values, progress }) =>
    measureKv({
      quick,
      progress,
      modelPath: typeof values.model === 'string' ? values.model : join(models, 'deos-7m'),
      textPath: typeof values.text === 'string' ? values.text : join(models, 'held-out.txt'),
      otherTextPath: typeof values['other-text'] === 'string' ? values['other-text'] : otherText,
      threads: countFlag(values, 'threads', 1),
      cacheDir: String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench')),
    }),
})
