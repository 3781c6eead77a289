/** What a piece of a model's text turned out to be. Together the pieces hold the whole text, less its markers. */
export type Piece =
  | { readonly type: 'content'; readonly text: string }
  | { readonly type: 'reasoning'; readonly text: string }
  /** A call begins; its arguments follow, then its end. Calls do not nest. */
  | { readonly type: 'call'; readonly name: string }
  | { readonly type: 'arguments'; readonly text: string }
  | { readonly type: 'call-end' }
  /** Text that only marks what is around it. */
  | { readonly type: 'marker' }

/** Tells the parts of one answer apart as its text arrives. How the text is cut makes no difference. */
export interface AnswerParser {
  /** Whether the text so far ends inside thoughts. */
  readonly reasoning: boolean
  /** True once the model is done, whatever it says behind. */
  readonly ended: boolean
  push(text: string): readonly Piece[]
  /** The rest, once no more text comes. */
  finish(): readonly Piece[]
}

/** Text that arrives in pieces and is read from its start. */
export class TextInput {
  #text = ''
  #ended = false

  /** What is not taken yet. */
  get text(): string {
    return this.#text
  }

  /** No more text comes. */
  get ended(): boolean {
    return this.#ended
  }

  push(text: string): void {
    this.#text += text
  }

  end(): void {
    this.#ended = true
  }

  take(length: number): string {
    const taken = this.#text.slice(0, length)
    this.#text = this.#text.slice(length)
    return taken
  }

  /** Gives back what was taken last. */
  putBack(text: string): void {
    this.#text = text + this.#text
  }

  /** Takes the whitespace at the start. */
  takeSpace(): string {
    return this.take(this.#text.length - this.#text.trimStart().length)
  }

  /** Whether the text begins with `marker`; `null` while that is open. */
  startsWith(marker: string): boolean | null {
    if (this.#text.startsWith(marker)) return true
    return !this.#ended && marker.startsWith(this.#text) ? null : false
  }

  /** Which marker the text begins with; `null` if none, `undefined` while that is open. */
  leading(markers: readonly string[]): string | null | undefined {
    const found = markers.find((marker) => this.#text.startsWith(marker))
    if (found !== undefined) return found
    return markers.some((marker) => this.startsWith(marker) === null) ? undefined : null
  }

  /**
   * Takes the text before the first marker, and the marker if it is there; of markers that begin at the same place, the
   * longest. Text that may be the start of a marker stays.
   */
  takeUntil(markers: readonly string[]): { readonly text: string; readonly marker: string | null } {
    let end = this.#text.length
    let marker: string | null = null
    for (const candidate of markers) {
      const at = this.#text.indexOf(candidate)
      if (at === -1 || at > end || (at === end && candidate.length <= (marker?.length ?? 0))) continue
      end = at
      marker = candidate
    }
    if (!this.#ended) {
      const openAt = this.#text.length - this.#openEnd(markers)
      if (openAt <= end) {
        end = openAt
        marker = null
      }
    }
    const text = this.take(end)
    if (marker !== null) this.take(marker.length)
    return { text, marker }
  }

  /** Length of the longest end of the text that a marker may begin with. */
  #openEnd(markers: readonly string[]): number {
    const longest = Math.max(0, ...markers.map(({ length }) => length - 1))
    for (let length = Math.min(longest, this.#text.length); length > 0; length -= 1) {
      const end = this.#text.slice(-length)
      if (markers.some((marker) => marker.startsWith(end))) return length
    }
    return 0
  }
}

/** Collects pieces; whitespace around calls belongs to them, and is dropped. */
export class PieceList {
  #pieces: Piece[] = []
  #space = ''
  #calls = 0

  add(piece: Exclude<Piece, { readonly type: 'content' }>): void {
    if (piece.type === 'call') {
      this.#calls += 1
      this.#space = ''
    }
    this.#pieces.push(piece)
  }

  content(text: string): void {
    const all = this.#space + text
    const shown = all.trimEnd()
    this.#space = all.slice(shown.length)
    if (shown !== '') this.#pieces.push({ type: 'content', text: shown })
  }

  /** Nothing comes behind: the whitespace that is left is content if there was no call. */
  end(): void {
    if (this.#calls === 0 && this.#space !== '') this.#pieces.push({ type: 'content', text: this.#space })
    this.#space = ''
  }

  drain(): readonly Piece[] {
    const pieces = this.#pieces
    this.#pieces = []
    return pieces
  }
}

/** A parser in steps: each reads from the start of `input`, as far as what stands there is clear. */
export abstract class StepParser implements AnswerParser {
  readonly reasoning: boolean = false
  readonly ended: boolean = false
  protected readonly input = new TextInput()
  protected readonly out = new PieceList()

  /** @returns false when more text must come first; with all text there, when nothing is left to do */
  protected abstract step(): boolean

  /** What was begun and not ended. */
  protected abstract close(): void

  push(text: string): readonly Piece[] {
    this.input.push(text)
    return this.#run()
  }

  finish(): readonly Piece[] {
    this.input.end()
    const pieces = this.#run()
    this.close()
    this.out.end()
    return [...pieces, ...this.out.drain()]
  }

  #run(): readonly Piece[] {
    while (!this.ended && this.step());
    return this.out.drain()
  }
}

/** Everything is content. */
export class PlainParser implements AnswerParser {
  readonly reasoning = false
  readonly ended = false

  push(text: string): readonly Piece[] {
    return text === '' ? [] : [{ type: 'content', text }]
  }

  finish(): readonly Piece[] {
    return []
  }
}
