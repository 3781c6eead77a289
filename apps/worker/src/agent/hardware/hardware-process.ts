import { listDevices, measureDevice, PINNED_GGML_VERSION } from '@deos/engine'
import { measureDiskRead } from './disk-read.ts'
import type { Benchmark, FoundDevice, HardwareAnswers, HardwareJob } from './hardware-job.ts'

function foundDevices(): HardwareAnswers['devices'] {
  const devices = listDevices()
    // Accelerators such as BLAS have no memory of their own and no stages.
    .filter(({ kind }) => kind !== 'accelerator')
    .map(
      ({ name, description, kind, memoryTotal }): FoundDevice => ({
        name,
        description,
        kind: kind === 'cpu' ? 'cpu' : 'gpu',
        memoryBytes: memoryTotal,
      }),
    )
  return { library: PINNED_GGML_VERSION, devices }
}

async function benchmark({
  devices,
  threads,
  folder,
}: Extract<HardwareJob, { job: 'benchmark' }>): Promise<HardwareAnswers['benchmark']> {
  const measured: Benchmark['devices'][number][] = []
  for (const { name, memoryBytes } of devices) {
    const figures = await measureDevice({ device: name, threads, memoryBytes })
    measured.push({
      device: name,
      weightBytesPerSecond: figures.weightBytesPerSecond,
      flopsPerSecond: figures.flopsPerSecond,
      hostBytesPerSecond: figures.hostBytesPerSecond,
    })
  }
  return { devices: measured, diskReadBytesPerSecond: await measureDiskRead(folder) }
}

const job = JSON.parse(process.argv[2] ?? 'null') as HardwareJob
const answer = job.job === 'devices' ? foundDevices() : await benchmark(job)
process.stdout.write(`${JSON.stringify(answer)}\n`)
