import { readFile } from 'node:fs/promises'
import { type Calibration, readCalibration } from '@deos/codec'

/** A calibration, and its bytes for threads. */
export interface LoadedCalibration {
  readonly calibration: Calibration
  readonly bytes: Uint8Array
}

/**
 * @param model - fingerprint of the model that it must be of
 * @throws CalibrationError if it is of another one; CorruptBlockError if it is damaged; what reading the file throws
 */
export async function loadCalibration(path: string, model: string): Promise<LoadedCalibration> {
  const bytes = new Uint8Array(await readFile(path))
  return { calibration: readCalibration(bytes, model), bytes }
}
