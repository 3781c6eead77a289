export { publishedModels, publishedShape } from './published-models.ts'
export { servingWorkload } from './serving-workload.ts'
