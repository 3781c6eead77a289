import { parseEbnf } from './ebnf.ts'
import type { Expression } from './expression.ts'
import { anyObject } from './json-text.ts'
import { parseRegex } from './regex.ts'
import { schemaExpression } from './schema.ts'
import { checkLength, type GrammarSpec, readGrammarSpec } from './spec.ts'
import { structuralTagExpression } from './structural-tag.ts'

/**
 * The texts a specification allows.
 *
 * @throws GrammarError that names the place of what is not understood or cannot be enforced
 */
export function grammarExpression(spec: GrammarSpec): Expression {
  switch (spec.type) {
    case 'json':
      return anyObject
    case 'json_schema':
      return schemaExpression(spec.schema, '/schema', spec.strict ?? false)
    case 'regex':
      return parseRegex(spec.pattern, 'whole', '/pattern')
    case 'ebnf':
      return parseEbnf(spec.grammar, '/grammar')
    case 'structural_tag':
      return structuralTagExpression(spec.format, '/format')
  }
}

/**
 * Everything about a specification that shows without a vocabulary: shape, size, and that each part can be enforced.
 * Takes milliseconds at most; whether any text satisfies it shows when it is prepared.
 *
 * @param value - as parsed from JSON
 * @throws GrammarError
 */
export function checkGrammarSpec(value: unknown): GrammarSpec {
  const spec = readGrammarSpec(value)
  checkLength(JSON.stringify(spec).length)
  grammarExpression(spec)
  return spec
}
