import { BareCallParser } from './bare-calls.ts'
import type { ParserOptions, ToolFormat } from './chat-format.ts'
import { hermes } from './hermes.ts'
import { type AnswerParser, PlainParser } from './pieces.ts'

const openings = [
  { begin: '<tool_call>', end: '</tool_call>', anyName: true, codeTool: null },
  { begin: '```json\n', end: '```', anyName: false, codeTool: null },
]

/** For models that were taught no format: asked for the commonest one, and understood when they write bare JSON. */
export const generic: ToolFormat = {
  ...hermes,
  name: 'generic',
  matches: () => true,
  parser: ({ tools }: ParserOptions): AnswerParser =>
    tools.size === 0 ? new PlainParser() : new BareCallParser({ tools, openings }),
}
