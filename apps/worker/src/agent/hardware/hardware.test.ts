import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { measureDiskRead } from './disk-read.ts'
import { Hardware, HardwareError, type HardwareOptions } from './hardware.ts'
import type { HardwareAnswers } from './hardware-job.ts'

const root = mkdtempSync(join(tmpdir(), 'deos-hardware-'))
afterAll(() => rmSync(root, { recursive: true }))

const found: HardwareAnswers['devices'] = {
  library: '1.0',
  devices: [
    { name: 'CPU', description: 'A  processor\u0007', kind: 'cpu', memoryBytes: 2 ** 40 },
    { name: 'CUDA0', description: '', kind: 'gpu', memoryBytes: 2 ** 35 },
  ],
}

/** A stand-in for the process: answers with devices, and with a rate that is another each time. */
function optionsFor(name: string, text?: string): HardwareOptions {
  const folder = mkdtempSync(join(root, name))
  const script = join(folder, 'job.mjs')
  writeFileSync(
    script,
    text ??
      `const job = JSON.parse(process.argv[2])
       console.log(JSON.stringify(job.job === 'devices' ? ${JSON.stringify(found)} : {
         devices: job.devices.map(({ name }) => ({ device: name, weightBytesPerSecond: 1000 + Math.random(),
           flopsPerSecond: { F16: 2000 }, hostBytesPerSecond: name === 'CPU' ? null : 500 })),
         diskReadBytesPerSecond: 300 }))`,
  )
  return { script, folder, device: null, memoryLimitBytes: 2 ** 30, threads: 1, speed: 1 }
}

const hardware = (name: string, options: Partial<HardwareOptions> = {}, text?: string): Hardware =>
  new Hardware({ ...optionsFor(name, text), ...options })

test('an inventory is the same each time, within the limit, and fit to be sent', async () => {
  const machine = hardware('stable')
  const inventory = await machine.inventory()
  expect(await machine.inventory()).toEqual(inventory)
  expect(inventory.memoryBytes).toBe(2 ** 30)
  expect(inventory.devices).toEqual([
    { name: 'CPU', description: 'A  processor', kind: 'cpu', memoryBytes: 2 ** 30 },
    { name: 'CUDA0', description: 'CUDA0', kind: 'gpu', memoryBytes: 2 ** 35 },
  ])
  expect(inventory.diskFreeBytes % 2 ** 30).toBe(0)
})

test('without a limit some memory is left for the rest of the computer', async () => {
  const { memoryBytes, devices } = await hardware('unlimited', { memoryLimitBytes: null }).inventory()
  expect(devices[0]!.memoryBytes).toBe(Math.floor(memoryBytes * 0.75))
})

test('only the wanted device is offered; one that is not there is named', async () => {
  expect((await hardware('one', { device: 'CUDA0' }).inventory()).devices.map(({ name }) => name)).toEqual([
    'CUDA0',
  ])
  await expect(hardware('none', { device: 'CUDA1' }).inventory()).rejects.toThrow(/no device CUDA1/)
})

test('a process that dies is an error with its last words', async () => {
  const dead = hardware('dead', {}, `console.error('GGML_ASSERT(x) failed, aborting'); process.abort()`)
  await expect(dead.inventory()).rejects.toThrow(HardwareError)
  await expect(dead.inventory()).rejects.toThrow(/GGML_ASSERT/)
  await expect(hardware('mute', {}, '').inventory()).rejects.toThrow(/cannot be listed/)
})

test('a measurement is remembered for the same hardware and settings, and repeated when asked again', async () => {
  const options = optionsFor('memory')
  const first = new Hardware(options)
  const inventory = await first.inventory()
  const measured = await first.benchmark(inventory)
  const restarted = new Hardware(options)
  await restarted.inventory()
  expect(await restarted.benchmark({ ...inventory, diskFreeBytes: 0 })).toEqual(measured)
  expect(await restarted.benchmark(inventory)).not.toEqual(measured)
  const slower = new Hardware({ ...options, speed: 0.5 })
  await slower.inventory()
  const half = await slower.benchmark(inventory)
  expect(half.devices[0]!.flopsPerSecond).toEqual({ F16: 1000 })
  expect(half.devices[0]!.weightBytesPerSecond).toBeLessThan(501)
  expect(half.devices[1]!.hostBytesPerSecond).toBe(500)
  expect(half.diskReadBytesPerSecond).toBe(300)
})

test('a disk is measured and left as it was', async () => {
  const folder = mkdtempSync(join(root, 'disk'))
  expect(await measureDiskRead(folder)).toBeGreaterThan(1e5)
  expect(readdirSync(folder)).toEqual([])
})
