/**
 * What a grammar specification is and whether it can be kept, known without a vocabulary: all that a gateway needs.
 */
export { GrammarError } from './errors.ts'
export { checkGrammarSpec } from './grammar-expression.ts'
export { propertyTypes } from './schema.ts'
export { hasType, type JsonType } from './schema-facts.ts'
export type { GrammarSpec } from './spec.ts'
