import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FleetPart } from './control-plane/fleet-part.ts'
import { measureControlPlane } from './control-plane/measure-control-plane.ts'
import { partVariable, servePart } from './control-plane/part-process.ts'
import { countFlag, runBench } from './run-bench.ts'
import { exitOnSignals } from './serve/server-process.ts'

const benchEntry = fileURLToPath(import.meta.url)
const builtFolder = join(dirname(benchEntry), '..')

if (process.env[partVariable] === 'fleet') servePart(new FleetPart().calls)
else await bench()

async function bench(): Promise<void> {
  exitOnSignals()
  await runBench({
    name: 'control-plane',
    options: {
      machines: { type: 'string' },
      deployments: { type: 'string' },
      'database-url': { type: 'string' },
      profile: { type: 'string' },
      'cache-dir': { type: 'string' },
    },
    usage: `What one control plane costs that keeps 200 deployments running on 1,000 machines: its CPU time, API reads while
machines beat, and how soon all is well again when 20 machines are gone at once. Machines are simulated in a process
of their own: they join with keys, report, beat every second and answer stages at once, with rings that give tokens.

  --machines N         machines (default 1000)
  --deployments N      deployments of one replica each (default 200)
  --database-url URL   PostgreSQL (default: the embedded one, kept nowhere)
  --profile DIR        leave a CPU profile of the control plane there; it slows it down a little
  --cache-dir DIR      where logs are kept (default ~/.deos/cache/bench)`,
    run: ({ quick, values, progress }) =>
      measureControlPlane({
        ...{ quick, progress, builtFolder, benchEntry },
        machines: countFlag(values, 'machines', 1000),
        deployments: countFlag(values, 'deployments', 200),
        modelPath: join(builtFolder, '..', 'models', 'deos-7m'),
        databaseUrl: typeof values['database-url'] === 'string' ? values['database-url'] : null,
        logFolder: join(
          String(values['cache-dir'] ?? join(homedir(), '.deos', 'cache', 'bench')),
          'control-plane',
        ),
        profileFolder: typeof values.profile === 'string' ? values.profile : null,
      }),
  })
}
