/**
 * Model files: opening GGUF files and Hugging Face folders with every check that needs no weights, converting
 * between element types, and finding one stage's weights in files that can be mapped. Start at {@link openModel}
 * and {@link resolveStageWeights}; adding a model family is one file in `families/`.
 */
export {
  type ConversionProgress,
  type ConversionReport,
  type ConvertModelOptions,
  convertModel,
} from './convert-model.ts'
export {
  attentionFlopsPerPosition,
  decodeFlops,
  describeModel,
  describeShape,
  type FlopsDescription,
  headFlops,
  linearFlopsOfLayers,
  type ModelDescription,
  type PartDescription,
  prefillFlops,
} from './describe-model.ts'
export { ModelFileError, ModelNotFoundError, ModelWriteError, UnsupportedModelError } from './errors.ts'
export { footprintOf } from './footprint.ts'
export { configMetadata } from './gguf-config.ts'
export { ggufModelName, oneFilePerModel } from './gguf-parts.ts'
export { type GgufHeader, readGgufHeader } from './gguf-reader.ts'
export type { GgufElementType, GgufNumberType, GgufScalar, GgufValue } from './gguf-values.ts'
export { type GgufWriteOptions, type PlannedTensor, tensorAlignment, writeGguf } from './gguf-writer.ts'
export { parseHuggingFaceConfig } from './huggingface-config.ts'
export type { ModelSource, TensorInfo } from './model-source.ts'
export { type OpenModelOptions, openModel } from './open-model.ts'
export { ropeFactors, scaledRopeTheta, yarnAttentionFactor } from './rope-factors.ts'
export { type FileRanges, readHeaders, stageRanges } from './stage-ranges.ts'
export { resolveStageWeights, type StageWeightsRequest } from './stage-weights.ts'
export { readTensor } from './tensor-data.ts'
export {
  isWeightType,
  type TypeFallback,
  targetType,
  type WeightType,
  weightTypes,
} from './type-policy.ts'
