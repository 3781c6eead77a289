/** Models: where they come from, what they take, and their bytes for machines and gateways. */
export { BlobReader } from './blob-reader.ts'
export { gatewayBlobHandlers, modelHandlers, workerBlobHandlers } from './model-handlers.ts'
export { modelProblems } from './model-problems.ts'
export { ModelRegistry, type ModelRegistryOptions, type ModelRegistryParts } from './model-registry.ts'
