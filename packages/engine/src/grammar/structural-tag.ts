import { parseEbnf } from './ebnf.ts'
import { choice, type Expression, nothing, optional, repeat, sequence, text } from './expression.ts'
import { freeText, type Mark } from './free-text.ts'
import { type ParameterStyle, parameterNotation, parameterStyles } from './parameters.ts'
import { parseRegex } from './regex.ts'
import { schemaExpression } from './schema.ts'
import { isJsonObject, type JsonObject, pointer, wrongField } from './spec.ts'

/** A format with its JSON pointer from the root of the specification. */
interface FormatNode {
  readonly format: JsonObject
  readonly path: string
}

interface Tag {
  /** `null` for a control token. */
  readonly begin: string | null
  readonly beginExpression: Expression
  /** Content and end. */
  readonly rest: Expression
}

const maxRepeat = 4096
const anyByte: Expression = { kind: 'byte', range: [0, 256] }
/** Text without control tokens. */
const anyText = repeat(anyByte, 0, null)

/**
 * A structural tag: `const_string`, `json_schema`, `qwen_xml_parameter`, `regex`, `grammar`, `any_text`, `token` and
 * `any_tokens`, put together by `sequence`, `or`, `optional`, `plus`, `star`, `repeat`, `tag`, `triggered_tags`,
 * `token_triggered_tags` and `tags_with_separator`, with the fields XGrammar gives them. Where a schema's `style` has
 * marks of its own, `control_tokens` names those that are control tokens of the model.
 *
 * @throws GrammarError that names place and field
 */
export function structuralTagExpression(format: JsonObject, path: string): Expression {
  return plain({ format, path })
}

function plain(node: FormatNode): Expression {
  const { format, path } = node
  switch (format.type) {
    case 'const_string':
      return text(readText(node, 'value'))
    case 'json_schema':
    case 'qwen_xml_parameter': {
      const schema = format.json_schema
      if (!isJsonObject(schema) && typeof schema !== 'boolean')
        throw wrongField(pointer(path, 'json_schema'), 'an object or a boolean', schema)
      const style = readStyle(node)
      if (style === 'json') return schemaExpression(schema, pointer(path, 'json_schema'), false)
      const notation = parameterNotation(style, readTexts(node, 'control_tokens', []))
      return schemaExpression(schema, pointer(path, 'json_schema'), false, notation)
    }
    case 'regex':
      return parseRegex(readText(node, 'pattern'), 'whole', pointer(path, 'pattern'))
    case 'grammar':
      return parseEbnf(readText(node, 'grammar'), pointer(path, 'grammar'))
    case 'any_text':
      return freeText([], readTexts(node, 'excludes', []), true)
    case 'any_tokens':
      return anyText
    case 'token':
      return tokenExpression(node)
    case 'sequence':
      return sequence(...readFormats(node, 'elements').map(plain))
    case 'or':
      return choice(...readFormats(node, 'elements').map(plain))
    case 'optional':
      return optional(plain(readFormat(node, 'content')))
    case 'plus':
      return repeat(plain(readFormat(node, 'content')), 1, null)
    case 'star':
      return repeat(plain(readFormat(node, 'content')), 0, null)
    case 'repeat':
      return repeatExpression(node)
    case 'tag': {
      const { beginExpression, rest } = readTag(node)
      return sequence(beginExpression, rest)
    }
    case 'triggered_tags':
      return triggeredTags(node, null)
    case 'token_triggered_tags':
      return tokenTriggeredTags(node)
    case 'tags_with_separator':
      return tagsWithSeparator(node)
    default:
      throw wrongField(
        pointer(path, 'type'),
        'the type of a structural tag (sequence, or, tag, triggered_tags, json_schema, …)',
        format.type,
      )
  }
}

/**
 * The format with one of the ends behind it. Free text that the ends close is read up to the first of them; without
 * that it could run past them.
 */
function upTo(node: FormatNode, ends: readonly string[]): Expression {
  switch (node.format.type) {
    case 'any_text':
      return freeText(
        ends.map((end) => ({ text: end, follows: null })),
        readTexts(node, 'excludes', []).filter((excluded) => !ends.includes(excluded)),
        true,
      )
    case 'triggered_tags':
      return triggeredTags(node, ends)
    case 'sequence': {
      const elements = readFormats(node, 'elements')
      return sequence(...elements.slice(0, -1).map(plain), upTo(elements.at(-1)!, ends))
    }
    case 'or':
      return choice(...readFormats(node, 'elements').map((element) => upTo(element, ends)))
    default:
      return sequence(plain(node), choice(...ends.map(text)))
  }
}

function readTag(node: FormatNode): Tag {
  const { format, path } = node
  if (format.type !== 'tag') throw wrongField(pointer(path, 'type'), '"tag"', format.type)
  const content = readFormat(node, 'content')
  const { begin, end } = format
  const isText = typeof begin === 'string'
  const ends = typeof end === 'string' ? [end] : Array.isArray(end) ? readTexts(node, 'end', null) : null
  const hasEmptyEnd = ends?.includes('') === true
  return {
    begin: isText ? begin : null,
    beginExpression: isText ? text(begin) : tokenExpression(readFormat(node, 'begin')),
    rest:
      ends === null
        ? sequence(plain(content), tokenExpression(readFormat(node, 'end')))
        : hasEmptyEnd
          ? sequence(plain(content), choice(...ends.map(text)))
          : upTo(content, ends),
  }
}

function triggeredTags(node: FormatNode, ends: readonly string[] | null): Expression {
  const triggers = readTexts(node, 'triggers', null)
  const excluded = readTexts(node, 'excludes', []).filter((text) => !ends?.includes(text))
  const tags = readFormats(node, 'tags').map((tag) => ({ ...readTag(tag), path: tag.path }))
  const stopAfterFirst = readFlag(node, 'stop_after_first')
  const close = ends === null ? nothing : choice(...ends.map(text))
  const marks: Mark[] = triggers.map((trigger, place) => {
    if (trigger === '')
      throw wrongField(pointer(pointer(node.path, 'triggers'), place), 'a text that is not empty', trigger)
    const begun = tags.filter(({ begin }) => begin?.startsWith(trigger))
    const dispatched = choice(
      ...begun.map(({ begin, rest }) => sequence(text(begin!.slice(trigger.length)), rest)),
    )
    return { text: trigger, follows: stopAfterFirst ? sequence(dispatched, close) : dispatched }
  })
  for (const { begin, path } of tags)
    if (!triggers.some((trigger) => begin?.startsWith(trigger)))
      throw wrongField(pointer(path, 'begin'), 'a text that begins with one of the triggers', begin)
  const endMarks: readonly Mark[] = (ends ?? []).map((end) => ({ text: end, follows: null }))
  const free = freeText([...marks, ...endMarks], excluded, !stopAfterFirst)
  if (!readFlag(node, 'at_least_one')) return free
  const first = choice(...tags.map(({ beginExpression, rest }) => sequence(beginExpression, rest)))
  return sequence(first, stopAfterFirst ? close : free)
}

function tokenTriggeredTags(node: FormatNode): Expression {
  const tags = readFormats(node, 'tags').map((tag) => {
    const { begin, beginExpression, rest } = readTag(tag)
    if (begin !== null) throw wrongField(pointer(tag.path, 'begin'), 'a format of type "token"', begin)
    return sequence(beginExpression, rest)
  })
  const tag = choice(...tags)
  const stopAfterFirst = readFlag(node, 'stop_after_first')
  const further = stopAfterFirst ? nothing : repeat(choice(anyByte, tag), 0, null)
  if (readFlag(node, 'at_least_one')) return sequence(tag, further)
  return stopAfterFirst ? sequence(anyText, optional(tag)) : further
}

function tagsWithSeparator(node: FormatNode): Expression {
  const tags = readFormats(node, 'tags').map((tag) => {
    const { beginExpression, rest } = readTag(tag)
    return sequence(beginExpression, rest)
  })
  const tag = choice(...tags)
  const listed = readFlag(node, 'stop_after_first')
    ? tag
    : sequence(tag, repeat(sequence(text(readText(node, 'separator')), tag), 0, null))
  return readFlag(node, 'at_least_one') ? listed : optional(listed)
}

function repeatExpression(node: FormatNode): Expression {
  const { min, max } = node.format
  const isCount = (value: unknown): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxRepeat
  if (!isCount(min)) throw wrongField(pointer(node.path, 'min'), `a whole number up to ${maxRepeat}`, min)
  if (max !== -1 && !(isCount(max) && max >= min))
    throw wrongField(pointer(node.path, 'max'), `−1 or a whole number from min to ${maxRepeat}`, max)
  return repeat(plain(readFormat(node, 'content')), min, max === -1 ? null : max)
}

function tokenExpression({ format, path }: FormatNode): Expression {
  const { type, token } = format
  if (type !== 'token') throw wrongField(pointer(path, 'type'), '"token"', type)
  const isId = typeof token === 'number' && Number.isInteger(token) && token >= 0
  if (!isId && typeof token !== 'string')
    throw wrongField(pointer(path, 'token'), 'the spelling or the id of a control token', token)
  return { kind: 'token', token: token as string | number }
}

function readStyle({ format, path }: FormatNode): ParameterStyle | 'json' {
  if (format.type === 'qwen_xml_parameter') return 'qwen_xml'
  const styles = ['json', ...parameterStyles] as const
  const style = styles.find((known) => known === (format.style ?? 'json'))
  if (style !== undefined) return style
  throw wrongField(
    pointer(path, 'style'),
    styles.map((known) => JSON.stringify(known)).join(' or '),
    format.style,
  )
}

function readFormat({ format, path }: FormatNode, field: string): FormatNode {
  const value = format[field]
  const at = pointer(path, field)
  if (!isJsonObject(value)) throw wrongField(at, 'an object', value)
  return { format: value, path: at }
}

function readFormats({ format, path }: FormatNode, field: string): readonly FormatNode[] {
  const value = format[field]
  const at = pointer(path, field)
  if (!Array.isArray(value) || value.length === 0) throw wrongField(at, 'an array that is not empty', value)
  return value.map((element: unknown, place) => {
    if (!isJsonObject(element)) throw wrongField(pointer(at, place), 'an object', element)
    return { format: element, path: pointer(at, place) }
  })
}

function readText({ format, path }: FormatNode, field: string): string {
  const value = format[field]
  if (typeof value !== 'string') throw wrongField(pointer(path, field), 'a string', value)
  return value
}

/** @param fallback - what a missing field means; `null` if it must be there and not be empty */
function readTexts(
  { format, path }: FormatNode,
  field: string,
  fallback: readonly string[] | null,
): readonly string[] {
  const value = format[field]
  if (value === undefined && fallback !== null) return fallback
  const isList = Array.isArray(value) && value.every((element) => typeof element === 'string')
  if (!isList || (fallback === null && value.length === 0))
    throw wrongField(pointer(path, field), 'an array of strings', value)
  return value
}

function readFlag({ format, path }: FormatNode, field: string): boolean {
  const value = format[field] ?? false
  if (typeof value !== 'boolean') throw wrongField(pointer(path, field), 'a boolean', value)
  return value
}
