import { isWeightType, type WeightType, weightTypes } from '@deos/engine/weights'
import { UsageError } from '../cli-error.ts'

/** @throws UsageError naming the types there are */
export function checkWeightType(text: string): WeightType | 'native' {
  if (text.toLowerCase() === 'native') return 'native'
  const type = text.toUpperCase()
  if (isWeightType(type)) return type
  throw new UsageError(`There is no weight type "${text}".`, `Choose native, ${weightTypes.join(', ')}.`)
}
