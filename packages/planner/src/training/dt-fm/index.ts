/** DT-FM's cost model, its published cases, and searches in it. */
export {
  dataCentre,
  eightCities,
  fourRegions,
  type RegionLink,
  regions,
  spotInstances,
  universities,
} from './cases.ts'
export { type DtFmCost, DtFmEvaluator } from './evaluator.ts'
export { type GeneticSearch, searchDtFmGenetically } from './genetic.ts'
export { linksOfEightCities, linksOfFourRegions } from './region-links.ts'
export { type DtFmPlan, type DtFmSearch, searchDtFm } from './search.ts'
export { checkTask, type DtFmTask, gpt3XlTask, mostStages } from './task.ts'
