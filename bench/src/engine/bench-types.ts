import { isWeightType, type WeightType, weightTypes } from '@deos/engine/weights'
import { BenchUsageError } from '../run-bench.ts'

/** Element types from a comma-separated flag. */
export function parseTypes(list: string): readonly WeightType[] {
  const names = list.split(',').map((name) => name.trim().toUpperCase())
  const unknown = names.find((name) => !isWeightType(name))
  if (unknown !== undefined) {
    throw new BenchUsageError(`--types holds "${unknown}".`, `Choose among ${weightTypes.join(', ')}.`)
  }
  return [...new Set(names)] as WeightType[]
}
