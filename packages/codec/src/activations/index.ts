export { type ActivationShape, decodeActivations, encodeActivations } from './activations.ts'
