import { allCharacters, difference, rangesOf } from './characters.ts'
import {
  call,
  characters,
  choice,
  type Expression,
  impossible,
  lateRule,
  nothing,
  sequence,
  text,
} from './expression.ts'
import { freeText } from './free-text.ts'
import { jsonLiteral } from './json-text.ts'
import { type Notation, type ObjectLayout, objectExpression } from './schema-objects.ts'
import { bareString } from './schema-strings.ts'
import { isJsonObject } from './spec.ts'
import { allOf, madeOf } from './text-automaton.ts'

/** How the arguments of a call are written where each stands in marks of its own, under XGrammar's names. */
export const parameterStyles = ['qwen_xml', 'glm_xml'] as const
export type ParameterStyle = (typeof parameterStyles)[number]

interface Marks {
  readonly beforeName: Expression
  readonly afterName: Expression
  readonly afterValue: Expression
  /** What ends a value for those who read it. */
  readonly end: string
}

const lineEnd = choice(nothing, text('\n'))
const nameCharacters = difference(allCharacters, rangesOf('<>\n'))

function marksOf(style: ParameterStyle, mark: (content: string) => Expression): Marks {
  switch (style) {
    case 'qwen_xml':
      return {
        beforeName: mark('<parameter='),
        afterName: text('>\n'),
        afterValue: sequence(text('\n'), mark('</parameter>'), text('\n')),
        end: '</parameter>',
      }
    case 'glm_xml':
      return {
        beforeName: mark('<arg_key>'),
        afterName: sequence(mark('</arg_key>'), lineEnd, mark('<arg_value>')),
        afterValue: sequence(mark('</arg_value>'), lineEnd),
        end: '</arg_value>',
      }
  }
}

/**
 * An object as a row of parameters: `<parameter=name>\nvalue\n</parameter>\n`, or
 * `<arg_key>name</arg_key><arg_value>value</arg_value>` with or without line ends between. Values that are strings stand
 * there as they are, up to the first mark that ends them; others are JSON.
 *
 * @param controlTokens - marks that are control tokens of the model
 */
export function parameterNotation(style: ParameterStyle, controlTokens: readonly string[]): Notation {
  const isToken = (content: string): boolean => controlTokens.includes(content)
  const marks = marksOf(style, (content) =>
    isToken(content) ? { kind: 'token', token: content } : text(content),
  )
  const values = valueNotation(isToken(marks.end) ? [] : [marks.end])
  const member = (name: Expression, value: Expression): Expression =>
    sequence(marks.beforeName, name, marks.afterName, value, marks.afterValue)
  const layout: ObjectLayout = {
    empty: nothing,
    open: nothing,
    separator: nothing,
    close: nothing,
    name: text,
    freeName: (conditions, path) =>
      call(lateRule('name', () => allOf([...conditions, madeOf(nameCharacters)], characters, path))),
    member: (name, schemas, compiler) => member(name, compiler.value(schemas, values)),
  }
  return {
    name: 'parameters',
    objectsOnly: true,
    anything: (compiler) => objectExpression([], compiler, layout),
    string: () => impossible,
    object: (nodes, compiler) => objectExpression(nodes, compiler, layout),
    literal: (value) =>
      isJsonObject(value)
        ? sequence(...Object.entries(value).map(([name, inner]) => member(text(name), values.literal(inner))))
        : impossible,
  }
}

/** Strings as they are, everything else as JSON. @param excluded - texts that no string contains */
const valueNotation = (excluded: readonly string[]): Notation => ({
  name: 'value',
  objectsOnly: false,
  anything: () => freeText([], excluded, true),
  string: (nodes) => bareString(nodes, excluded),
  object: objectExpression,
  literal: (value) => (typeof value === 'string' ? text(value) : jsonLiteral(value)),
})
