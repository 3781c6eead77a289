/**
 * @packageDocumentation
 * Constrained output: grammars (JSON, JSON schema, regular expression, EBNF, structural tag) as masks over a model's
 * tokens, with answers that always end before their limit. Free of native code. A process that checks requests needs
 * {@link checkGrammarSpec} alone; one that samples starts at {@link GrammarHost}.
 */
export { GrammarEngine, type GrammarEngineOptions } from './engine.ts'
export * from './errors.ts'
export { checkGrammarSpec } from './grammar-expression.ts'
export { GrammarHost, type GrammarHostOptions } from './host.ts'
export {
  type GrammarSpec,
  type JsonObject,
  type JsonSchema,
  MAX_SPEC_DEPTH,
  MAX_SPEC_LENGTH,
  parseGrammarSpec,
} from './spec.ts'
export { serveGrammars } from './thread.ts'
export { type GrammarVocabulary, readVocabulary } from './vocabulary.ts'
