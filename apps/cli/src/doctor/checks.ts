import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { availableParallelism, cpus, freemem, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { bytes, formatBytes } from '@deos/domain'
import { cacheFolder, packageRoot } from '../package-root.ts'
import { checkPort, PortError } from '../ring/port-check.ts'
import { formatCount } from '../text/quantities.ts'
import { type Finding, fail, failedCheck, ok, warn } from './finding.ts'
import { processorFeatures } from './processor.ts'

/** One question about this machine. Answers may be several. */
export type Check = () => Promise<readonly Finding[]>

const GiB = 2 ** 30
const LEAST_MEMORY = GiB
const LEAST_DISK = 2 * GiB

export async function checkNode(): Promise<readonly Finding[]> {
  const { version } = process
  const [major = 0, minor = 0] = version.slice(1).split('.').map(Number)
  const platform = `${process.platform} ${process.arch}`
  return major > 20 || (major === 20 && minor >= 19)
    ? [ok('node', `${version} on ${platform}`, { version, platform: process.platform, arch: process.arch })]
    : [fail('node', `${version} is too old.`, 'Install Node 20.19 or newer.')]
}

const scripts = ['deos', 'worker', 'worker-engine', 'gateway']

export async function checkBuild(): Promise<readonly Finding[]> {
  const missing = scripts.filter((name) => !existsSync(join(packageRoot, 'dist', `${name}.mjs`)))
  if (missing.length === 0) return [ok('build', join(packageRoot, 'dist'))]
  return [fail('build', `dist/ lacks ${missing.join(', ')}.`, `Run "npm run build" in ${packageRoot}.`)]
}

export async function checkTensorLibrary(): Promise<readonly Finding[]> {
  try {
    const { listDevices, PINNED_GGML_VERSION } = await import('@deos/engine')
    const devices = listDevices()
    return [
      ok('tensor library', `ggml ${PINNED_GGML_VERSION}`, { version: PINNED_GGML_VERSION }),
      ...devices.map(({ name, description, kind, memoryFree, memoryTotal }) =>
        ok(
          `device ${name}`,
          `${description}, ${formatBytes(memoryFree)} of ${formatBytes(memoryTotal)} free`,
          { kind, memoryFreeBytes: memoryFree, memoryTotalBytes: memoryTotal },
        ),
      ),
    ]
  } catch (error) {
    return [failedCheck('tensor library', error)]
  }
}

export async function checkProcessor(): Promise<readonly Finding[]> {
  const cores = availableParallelism()
  const model = cpus()[0]?.model.trim() ?? process.arch
  const features = existsSync('/proc/cpuinfo') ? processorFeatures(readFileSync('/proc/cpuinfo', 'utf8')) : []
  const known = features.length === 0 ? '' : `, ${features.join(', ')}`
  const message = `${cores} ${cores === 1 ? 'core' : 'cores'}, ${model}${known}`
  const details = { cores, model, features }
  return cores > 1
    ? [ok('processor', message, details)]
    : [warn('processor', message, 'Workers and gateway share one core; answers come slowly.', details)]
}

export async function checkMemory(): Promise<readonly Finding[]> {
  const free = Math.min(freemem(), process.availableMemory())
  const total = Math.min(totalmem(), process.constrainedMemory() || totalmem())
  const message = `${formatBytes(bytes(free))} of ${formatBytes(bytes(total))} free`
  const details = { freeBytes: free, totalBytes: total }
  return free >= LEAST_MEMORY
    ? [ok('memory', message, details)]
    : [warn('memory', message, 'Close other programs, or use fewer --workers and less --kv-memory.', details)]
}

function existingParent(path: string): string {
  let folder = path
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder)
  return folder
}

export async function checkDisk(): Promise<readonly Finding[]> {
  const folder = cacheFolder()
  const { bavail, bsize } = await statfs(existingParent(folder))
  const free = bavail * bsize
  const message = `${formatBytes(bytes(free))} free for converted weights in ${folder}`
  const details = { folder, freeBytes: free }
  return free >= LEAST_DISK
    ? [ok('disk', message, details)]
    : [warn('disk', message, 'Free some space, or point DEOS_HOME to another disk.', details)]
}

export function checkPortFree(host: string, port: number): Check {
  return async () => {
    try {
      await checkPort(host, port)
      return [ok('port', `${port} of ${host} is free`, { host, port })]
    } catch (error) {
      if (!(error instanceof PortError)) return [failedCheck('port', error)]
      return [warn('port', error.message, error.hint, { host, port })]
    }
  }
}

export async function checkModels(): Promise<readonly Finding[]> {
  const folder = join(packageRoot, 'models')
  const names = existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() || entry.name.endsWith('.gguf'))
        .map(({ name }) => name)
    : []
  if (names.length === 0) {
    return [warn('models', `There is none in ${folder}.`, 'Name one with "deos serve --model PATH".')]
  }
  const { describeModel, openModel } = await import('@deos/engine/weights')
  return Promise.all(
    names.map(async (name): Promise<Finding> => {
      const path = join(folder, name)
      try {
        const { parameters, config } = describeModel(await openModel(path, { vocabulary: false }))
        const shape = `${config.architecture}, ${formatCount(parameters)} parameters, ${config.layers} layers`
        return ok(`model ${name}`, shape, { path, parameters })
      } catch (error) {
        return failedCheck(`model ${name}`, error)
      }
    }),
  )
}

const require = createRequire(import.meta.url)

interface Accelerator {
  readonly name: string
  readonly packageName: string
  /** Whether this machine seems to have such a device. */
  readonly present: () => boolean
}

const accelerators: Readonly<Record<string, readonly Accelerator[]>> = {
  'linux-x64': [
    {
      name: 'CUDA',
      packageName: '@node-llama-cpp/linux-x64-cuda',
      present: () => existsSync('/proc/driver/nvidia/version') || existsSync('/dev/nvidiactl'),
    },
    {
      name: 'Vulkan',
      packageName: '@node-llama-cpp/linux-x64-vulkan',
      present: () => existsSync('/dev/dri/renderD128'),
    },
  ],
}

function installedVersion(packageName: string): string | null {
  for (const base of require.resolve.paths(packageName) ?? []) {
    const path = join(base, packageName, 'package.json')
    if (existsSync(path)) return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
  }
  return null
}

export async function checkAccelerators(): Promise<readonly Finding[]> {
  const known = accelerators[`${process.platform}-${process.arch}`] ?? []
  const wanted = installedVersion('@node-llama-cpp/linux-x64')
  return known.map(({ name, packageName, present }) => {
    const installed = installedVersion(packageName)
    if (installed !== null) return ok(name, `${packageName} ${installed}`, { installed })
    if (!present()) return ok(name, 'no such device, nothing to install', { installed: null })
    return warn(
      name,
      `A device is here, but ${packageName} is not installed.`,
      `Run "npm install --no-save ${packageName}${wanted === null ? '' : `@${wanted}`}" and start with --device.`,
    )
  })
}
