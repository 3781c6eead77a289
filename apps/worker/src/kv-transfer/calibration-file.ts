import { readFile } from 'node:fs/promises'
import { type Calibration, CalibrationError, readCalibration } from '@deos/codec'

/** A calibration, and its bytes for threads. */
export interface LoadedCalibration {
  readonly calibration: Calibration
  readonly bytes: Uint8Array
}

/**
 * @param model - fingerprint of the model that it must be of
 * @throws CalibrationError if it is of another one, is damaged, or cannot be read
 */
export async function loadCalibration(path: string, model: string): Promise<LoadedCalibration> {
  try {
    const bytes = new Uint8Array(await readFile(path))
    return { calibration: readCalibration(bytes, model), bytes }
  } catch (cause) {
    throw new CalibrationError(
      `The calibration ${path} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
    )
  }
}
