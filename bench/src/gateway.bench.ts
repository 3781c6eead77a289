import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FleetPart } from './control-plane/fleet-part.ts'
import { partVariable, servePart } from './control-plane/part-process.ts'
import { FakeOpenAi } from './gateway/fake-openai.ts'
import { measureGateway } from './gateway/measure-gateway.ts'
import { portkeyPackage, portkeyVersion } from './gateway/portkey.ts'
import { runBench } from './run-bench.ts'
import { exitOnSignals } from './serve/server-process.ts'

const benchEntry = fileURLToPath(import.meta.url)
const builtFolder = join(dirname(benchEntry), '..')

switch (process.env[partVariable]) {
  case 'fleet':
    servePart(new FleetPart().calls)
    break
  case 'upstream':
    servePart(new FakeOpenAi().calls)
    break
  default:
    await bench()
}

async function bench(): Promise<void> {
  exitOnSignals()
  await runBench({
    name: 'gateway',
    options: { portkey: { type: 'string' }, 'cache-dir': { type: 'string' } },
    usage: `What our gateway adds to a request (keys, limits, routing, request log) in front of a ring that takes no time, and
how many requests it answers beside Portkey's in front of an upstream that takes none: the same client and requests,
in turn, with 1 and 32 connections, whole answers and streams, 1 and 16 tokens. Every server is one Node process.

  --portkey DIR        folder with the peer (default: portkey in --cache-dir; without it those figures are skipped):
                         npm i --prefix DIR ${portkeyPackage}@${portkeyVersion}
  --cache-dir DIR      where logs and tokenizers are kept (default ~/.deos/cache/bench)`,
    run: ({ quick, values, progress }) => {
      const cacheDir = String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench'))
      return measureGateway({
        ...{ quick, progress, builtFolder, benchEntry },
        modelPath: join(builtFolder, '..', 'models', 'deos-1m'),
        portkeyFolder: typeof values.portkey === 'string' ? values.portkey : join(cacheDir, 'portkey'),
        cacheFolder: join(cacheDir, 'gateway'),
      })
    },
  })
}
