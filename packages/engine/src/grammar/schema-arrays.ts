import { GrammarError } from './errors.ts'
import { type Expression, type ExpressionAutomaton, impossible, sequence, text } from './expression.ts'
import { jsonSpace } from './json-text.ts'
import { readCounts } from './schema-facts.ts'
import type { ValueCompiler } from './schema-objects.ts'
import { type SchemaNode, type SchemaReader, shown } from './schema-reader.ts'
import { type JsonObject, pointer } from './spec.ts'

/** Most items that are counted; a higher `maxItems` counts as this one. */
const longestArray = 4096

export function arrayExpression(nodes: readonly SchemaNode[], compiler: ValueCompiler): Expression {
  const { min, max: stated } = readCounts(nodes, 'minItems', 'maxItems')
  const max = stated === null ? null : Math.min(stated, longestArray)
  refuseUnique(nodes, stated)
  if (min > longestArray)
    throw new GrammarError(
      `minItems at ${shown(nodes[0]!.path)} is ${min}; at most ${longestArray} can be counted.`,
      'Lower it.',
      nodes[0]!.path,
    )
  if (max !== null && max < min) return impossible
  const listed = sequence(
    text('['),
    jsonSpace,
    listItems(nodes, { min, max, compiler }),
    jsonSpace,
    text(']'),
  )
  if (min > 0) return listed
  return max === 0 ? text('[]') : { kind: 'choice', options: [text('[]'), listed] }
}

/** States count the items written, up to the last number that matters. */
function listItems(
  nodes: readonly SchemaNode[],
  { min, max, compiler }: { min: number; max: number | null; compiler: ValueCompiler },
): ExpressionAutomaton {
  const prefix = Math.max(0, ...nodes.map((node) => prefixLength(node)))
  const last = max ?? Math.max(min, prefix, 1)
  const edges: { from: number; to: number; over: Expression }[] = []
  const write = (from: number, to: number): void => {
    const item = compiler.value(nodes.flatMap((node) => itemSchema(node, from, compiler.reader) ?? []))
    edges.push({ from, to, over: from === 0 ? item : sequence(text(','), jsonSpace, item) })
  }
  for (let count = 0; count < last; count += 1) write(count, count + 1)
  if (max === null) write(last, last)
  const accepting: number[] = []
  for (let count = Math.max(min, 1); count <= last; count += 1) accepting.push(count)
  return { kind: 'automaton', states: last + 1, start: 0, edges, accepting }
}

/** Until draft 2019-09 an array in `items` meant what `prefixItems` means now. */
function prefixLength({ schema }: SchemaNode): number {
  const { prefixItems, items } = schema as JsonObject
  if (Array.isArray(prefixItems)) return prefixItems.length
  return Array.isArray(items) ? items.length : 0
}

/** What the schema says of the item at a place; `null` if nothing. */
function itemSchema(node: SchemaNode, place: number, reader: SchemaReader): SchemaNode | null {
  const { prefixItems, items, additionalItems } = node.schema as JsonObject
  const isOldTuple = Array.isArray(items)
  if (place < prefixLength(node)) return reader.child(node, isOldTuple ? 'items' : 'prefixItems', place)
  if (isOldTuple) return additionalItems === undefined ? null : reader.child(node, 'additionalItems')
  if (prefixItems !== undefined && !Array.isArray(prefixItems)) {
    const at = pointer(node.path, 'prefixItems')
    throw new GrammarError(`prefixItems at ${shown(at)} is no array.`, 'It lists schemas.', at)
  }
  return items === undefined ? null : reader.child(node, 'items')
}

function refuseUnique(nodes: readonly SchemaNode[], max: number | null): void {
  const node = nodes.find(({ schema }) => (schema as JsonObject).uniqueItems === true)
  if (!node || (max !== null && max <= 1)) return
  const at = pointer(node.path, 'uniqueItems')
  throw new GrammarError(
    `"uniqueItems" at ${shown(at)} cannot be enforced while text is generated.`,
    'Leave it out and drop repeated items, or use an object with one boolean for each item.',
    at,
  )
}
