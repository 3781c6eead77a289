import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { countFlag, runBench } from './run-bench.ts'
import { findLlamaRpc } from './wan/llama-rpc-binaries.ts'
import { measureActivations } from './wan/measure-activations.ts'
import { measureEmulator } from './wan/measure-emulator.ts'
import { measureWanRing } from './wan/measure-wan-ring.ts'

const dist = join(dirname(fileURLToPath(import.meta.url)), '..')

await runBench({
  name: 'wan',
  options: {
    model: { type: 'string' },
    sessions: { type: 'string' },
    microbatches: { type: 'string' },
    'peer-llama': { type: 'string' },
    only: { type: 'string' },
    'cache-dir': { type: 'string' },
  },
  usage: `Whether the emulated network is what its profile says; and a ring of four workers in four regions: one session
beside compute and delays added up, many sessions beside the same ring without delays; both beside llama.cpp with
RPC servers in the same regions; and hidden states in fewer bytes: how many fewer, what answers lose, and the time of
prompts over 10 Mbit/s.

  --model PATH     model of the ring (default: the embedded deos-7m)
  --sessions N     sessions at saturation (default 512)
  --microbatches N steps in flight at once (default 4, the number of stages)
  --peer-llama PATH  folder of llama.cpp's llama-server and ggml-rpc-server, built with GGML_RPC, to be measured on the
                   same network (default: DEOS_PEER_LLAMA; without it those figures are skipped)
  --only activations  hidden states in fewer bytes and nothing else
  --cache-dir DIR  where weights are kept for the next run (default ~/.deos/cache/bench)`,
  run: async ({ quick, values, progress }) => {
    const peer = values['peer-llama'] ?? process.env.DEOS_PEER_LLAMA
    const { only } = values
    if (only !== undefined && only !== 'activations') throw new RangeError('--only takes activations.')
    const wanEntry = join(dist, 'wan.mjs')
    const workerEntry = join(dist, 'worker.mjs')
    const model = typeof values.model === 'string' ? values.model : join(dist, '..', 'models', 'deos-7m')
    const textPath = join(dist, '..', 'models', 'held-out.txt')
    const cacheDir = String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench'))
    const activations = await measureActivations({
      ...{ quick, progress, wanEntry, workerEntry, model, cacheDir },
      heldOut: textPath,
    })
    if (only === 'activations') return { figures: activations.figures, raw: { activations: activations.raw } }
    const emulator = await measureEmulator(wanEntry, quick, progress)
    const ring = await measureWanRing({
      ...{ quick, progress, wanEntry, workerEntry, model, cacheDir },
      sessions: countFlag(values, 'sessions', 512),
      microbatches: countFlag(values, 'microbatches', 4),
      peer: typeof peer === 'string' && peer !== '' ? findLlamaRpc(peer) : null,
      textPath,
    })
    return {
      figures: [...emulator.figures, ...ring.figures, ...activations.figures],
      raw: { emulator: emulator.raw, ring: ring.raw, activations: activations.raw },
    }
  },
})
