import { readFileSync } from 'node:fs'
import { readCalibration } from '@deos/codec'
import type { FixedConfig } from '../config.ts'
import { KvQuality } from './kv-quality.ts'

/**
 * What the configuration says of the coding of KV.
 *
 * @param model - fingerprint of the model that is served
 * @throws CalibrationError if the calibration is of another model; CorruptBlockError if it is damaged; what reading it
 *   throws
 */
export function openQuality(
  {
    kvQuality: mode,
    kvCalibration,
    kvExposedMs: budgetMs,
    kvGoodputBytes,
    kvEnhanceMs: enhanceMs,
  }: FixedConfig,
  model: string,
): KvQuality {
  const calibration =
    kvCalibration === null ? null : readCalibration(new Uint8Array(readFileSync(kvCalibration)), model)
  return new KvQuality({ mode, calibration, budgetMs, bytesPerSecond: kvGoodputBytes || null, enhanceMs })
}
