import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32 } from '@deos/codec'

/** The calibration of the embedded model. */
export const calibration = fileURLToPath(new URL('../../models/deos-7m.kv', import.meta.url))

/** It with some of its bytes changed, and a checksum that fits. */
function changed(folder: string, change: (view: DataView, end: number) => void): string {
  const bytes = new Uint8Array(readFileSync(calibration))
  const view = new DataView(bytes.buffer)
  const end = bytes.length - 4
  change(view, end)
  view.setUint32(end, crc32(bytes.subarray(0, end)), true)
  const file = join(folder, 'deos-7m.kv')
  writeFileSync(file, bytes)
  return file
}

/** One mean of the first channel model, behind the texts: another id, and blocks that mean something else. */
export const staleCalibration = (folder: string): string =>
  changed(folder, (view) => {
    const model = 6
    const name = model + 2 + view.getUint16(model, true)
    const mean = name + 2 + view.getUint16(name, true) + 4 + 2 + 3 + 8
    view.setFloat32(mean, view.getFloat32(mean, true) + 1, true)
  })

/** Steps much larger than what they are said to cost: four of them, before the costs of seven levels of eight layers. */
export const dishonestCalibration = (folder: string): string =>
  changed(folder, (view, end) => {
    const steps = end - 7 * (3 + 8 * 8) - 1 - 4 * 4
    for (let at = steps; at < steps + 16; at += 4) view.setFloat32(at, 40 * view.getFloat32(at, true), true)
  })
