import type { JsonSchema } from '../chat/chat-request.ts'

/** Text with constrained regions, as XGrammar's structural tags write it; the engine reads the same. */
export type TagFormat =
  | { readonly type: 'any_text' }
  | { readonly type: 'const_string'; readonly value: string }
  | {
      readonly type: 'json_schema'
      readonly json_schema: JsonSchema
      /** An object as parameters, each in marks of its own; JSON if left out. */
      readonly style?: 'qwen_xml' | 'glm_xml'
      /** Such marks that are control tokens of the model. */
      readonly control_tokens?: readonly string[]
    }
  | { readonly type: 'regex'; readonly pattern: string }
  | { readonly type: 'grammar'; readonly grammar: string }
  /** A control token by its spelling. */
  | { readonly type: 'token'; readonly token: string }
  | { readonly type: 'star'; readonly content: TagFormat }
  | { readonly type: 'sequence'; readonly elements: readonly TagFormat[] }
  | { readonly type: 'or'; readonly elements: readonly TagFormat[] }
  | Tag
  | {
      readonly type: 'triggered_tags'
      readonly triggers: readonly string[]
      readonly tags: readonly Tag[]
      readonly at_least_one?: boolean
      readonly stop_after_first?: boolean
    }
  | {
      readonly type: 'token_triggered_tags'
      readonly tags: readonly {
        readonly type: 'tag'
        readonly begin: { readonly type: 'token'; readonly token: string }
        readonly content: TagFormat
        readonly end: string
      }[]
      readonly at_least_one?: boolean
      readonly stop_after_first?: boolean
    }
  | {
      readonly type: 'tags_with_separator'
      readonly tags: readonly Tag[]
      readonly separator: string
      readonly at_least_one?: boolean
      readonly stop_after_first?: boolean
    }

/** Content between two fixed texts. */
export interface Tag {
  readonly type: 'tag'
  readonly begin: string
  readonly content: TagFormat
  readonly end: string
}

export const tag = (begin: string, content: TagFormat, end: string): Tag => ({
  type: 'tag',
  begin,
  content,
  end,
})

export const sequence = (...elements: readonly TagFormat[]): TagFormat =>
  elements.length === 1 ? elements[0]! : { type: 'sequence', elements }

export const either = (...elements: readonly TagFormat[]): TagFormat =>
  elements.length === 1 ? elements[0]! : { type: 'or', elements }

export const schemaOf = (schema: JsonSchema): TagFormat => ({ type: 'json_schema', json_schema: schema })

/** One of the tags, or as many as wanted with `parallel`. */
export const tagList = (tags: readonly Tag[], separator: string, parallel: boolean): TagFormat =>
  parallel ? { type: 'tags_with_separator', tags, separator, at_least_one: true } : either(...tags)

/** Free text that becomes one of the tags wherever it says a trigger. */
export const tagsInText = (
  tags: readonly Tag[],
  triggers: readonly string[],
  parallel: boolean,
): TagFormat => ({
  type: 'triggered_tags',
  triggers,
  tags,
  ...(!parallel && { stop_after_first: true }),
})
