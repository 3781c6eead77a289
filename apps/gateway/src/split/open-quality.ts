import { readFileSync } from 'node:fs'
import { type Calibration, CalibrationError, readCalibration } from '@deos/codec'
import type { FixedConfig } from '../config.ts'
import { KvQuality } from './kv-quality.ts'

/**
 * What the configuration says of the coding of KV.
 *
 * @param model - fingerprint of the model that is served
 * @throws CalibrationError if the calibration cannot be read, is damaged, or of another model
 */
export function openQuality(
  {
    kvQuality: mode,
    kvCalibration,
    kvExposedMs: budgetMs,
    kvGoodputBytes,
    kvEnhanceMs: enhanceMs,
  }: Pick<FixedConfig, 'kvQuality' | 'kvCalibration' | 'kvExposedMs' | 'kvGoodputBytes' | 'kvEnhanceMs'>,
  model: string,
): KvQuality {
  const calibration = kvCalibration === null ? null : loadCalibration(kvCalibration, model)
  return new KvQuality({ mode, calibration, budgetMs, bytesPerSecond: kvGoodputBytes || null, enhanceMs })
}

function loadCalibration(path: string, model: string): Calibration {
  try {
    return readCalibration(new Uint8Array(readFileSync(path)), model)
  } catch (cause) {
    throw new CalibrationError(
      `The calibration ${path} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
    )
  }
}
