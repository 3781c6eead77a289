/** How files end that `deos model calibrate` writes beside a model. */
export const calibrationEnding = '.kv'

/** A model's own files, and the calibration for hand-overs of its KV that may lie among them. */
export function withoutCalibration<T extends { readonly name: string }>(
  files: readonly T[],
): { readonly model: readonly T[]; readonly calibration: T | null } {
  const calibration = files.find(({ name }) => name.endsWith(calibrationEnding)) ?? null
  return { model: files.filter((file) => file !== calibration), calibration }
}
