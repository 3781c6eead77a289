import { sequence, type Tag, type TagFormat, tag } from './structural-tag.ts'

/**
 * The same format for a model whose vocabulary has some of the marks as control tokens. To a grammar such a token is no
 * text, so it is named as what it is.
 *
 * @param tokens - spellings of control tokens
 */
export function withControlTokens(format: TagFormat, tokens: readonly string[]): TagFormat {
  return tokens.length === 0 ? format : new Spelling(tokens).format(format)
}

class Spelling {
  readonly #pattern: RegExp
  readonly #tokens: ReadonlySet<string>

  constructor(tokens: readonly string[]) {
    this.#tokens = new Set(tokens)
    const escaped = tokens.map((token) => token.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
    this.#pattern = new RegExp(`(${escaped.join('|')})`)
  }

  format(format: TagFormat): TagFormat {
    switch (format.type) {
      case 'const_string':
        return sequence(...this.#text(format.value))
      case 'json_schema':
        return format.style === undefined ? format : { ...format, control_tokens: [...this.#tokens] }
      case 'sequence':
      case 'or':
        return { ...format, elements: format.elements.map((element) => this.format(element)) }
      case 'star':
        return { ...format, content: this.format(format.content) }
      case 'tag':
        return this.#tag(format)
      case 'tags_with_separator':
        return { ...format, tags: format.tags.map((one) => this.#asTag(one)) }
      case 'triggered_tags':
        return this.#triggered(format)
      default:
        return format
    }
  }

  /** Text and control tokens, in turn. */
  #text(text: string): readonly TagFormat[] {
    return text
      .split(this.#pattern)
      .filter((piece) => piece !== '')
      .map((piece) =>
        this.#tokens.has(piece) ? { type: 'token', token: piece } : { type: 'const_string', value: piece },
      )
  }

  #hasToken(text: string): boolean {
    return this.#pattern.test(text)
  }

  #tag({ begin, content, end }: Tag): TagFormat {
    const inner = this.format(content)
    // Free text ends at the first text that closes it, which only a tag tells; a control token is never inside it.
    const closed = this.#hasToken(end) ? [inner, ...this.#text(end)] : [tag('', inner, end)]
    return this.#hasToken(begin)
      ? sequence(...this.#text(begin), ...closed)
      : this.#plainTag(begin, inner, end)
  }

  #plainTag(begin: string, inner: TagFormat, end: string): TagFormat {
    return this.#hasToken(end) ? tag(begin, sequence(inner, ...this.#text(end)), '') : tag(begin, inner, end)
  }

  #asTag(one: Tag): Tag {
    const format = this.#tag(one)
    return format.type === 'tag' ? format : tag('', format, '')
  }

  #triggered(format: Extract<TagFormat, { readonly type: 'triggered_tags' }>): TagFormat {
    const { triggers, tags, ...flags } = format
    if (!triggers.some((trigger) => this.#hasToken(trigger))) {
      return { ...format, tags: tags.map((one) => this.#asTag(one)) }
    }
    return {
      ...flags,
      type: 'token_triggered_tags',
      tags: tags.flatMap(({ begin, content, end }) => {
        const [first, ...rest] = this.#text(begin)
        if (first?.type !== 'token') return []
        const inner = sequence(...rest, this.format(content), ...this.#text(end))
        return [{ type: 'tag', begin: first, content: inner, end: '' }]
      }),
    }
  }
}
