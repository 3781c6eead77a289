/** Model descriptions as per-layer operators with FLOPs, bytes and arithmetic intensity. */
export { ModelDescriptionError } from './errors.ts'
export { shapeFromGguf } from './gguf-shape.ts'
export { shapeFromHuggingFace } from './huggingface-shape.ts'
export { lookBack, type ModelShape, shapeOfConfig } from './model-shape.ts'
export {
  halfPrecision,
  type LayerGraph,
  layerGraph,
  type Operator,
  type OperatorKind,
  operatorGraph,
  type Phase,
  type Precision,
} from './operators.ts'
export { expertParameters, type ParameterCounts, parameterCounts } from './parameters.ts'
export { type Rematerialisation, storedElementsPerToken } from './stored-activations.ts'
