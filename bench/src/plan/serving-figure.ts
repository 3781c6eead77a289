import { type Figure, measuredFigure } from '../contract.ts'

export function servingFigure(
  id: string,
  unit: string,
  better: Figure['better'],
  samples: readonly number[],
  bar?: number,
): Figure {
  const terms = { id: `plan.serving.${id}`, unit, better, samples }
  return measuredFigure(bar === undefined ? terms : { ...terms, bar })
}
