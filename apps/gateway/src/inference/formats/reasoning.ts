import type { ReasoningMarkers } from './chat-format.ts'
import { type AnswerParser, type Piece, TextInput } from './pieces.ts'

/** Thoughts between markers at the start of an answer; another parser reads what comes behind. */
export class ReasoningParser implements AnswerParser {
  readonly #markers: ReasoningMarkers
  readonly #answer: AnswerParser
  readonly #input = new TextInput()
  #state: 'start' | 'opened' | 'silence' | 'thoughts' | 'after' | 'answer'
  #space = ''

  /** @param opened - whether the prompt ends inside thoughts already */
  constructor(markers: ReasoningMarkers, opened: boolean, answer: AnswerParser) {
    this.#markers = markers
    this.#answer = answer
    this.#state = opened ? 'opened' : 'start'
  }

  get reasoning(): boolean {
    return ['opened', 'silence', 'thoughts'].includes(this.#state) || this.#answer.reasoning
  }

  get ended(): boolean {
    return this.#answer.ended
  }

  push(text: string): readonly Piece[] {
    this.#input.push(text)
    return this.#run()
  }

  finish(): readonly Piece[] {
    this.#input.end()
    const pieces = this.#run()
    const rest = this.#state === 'start' ? this.#answer.push(this.#space) : []
    return [...pieces, ...rest, ...this.#answer.finish()]
  }

  #run(): readonly Piece[] {
    const pieces: Piece[] = []
    while (this.#step(pieces));
    return pieces
  }

  #step(pieces: Piece[]): boolean {
    switch (this.#state) {
      case 'start':
      case 'opened':
        return this.#begin(pieces)
      case 'silence':
        return this.#skipSpace('thoughts')
      case 'thoughts':
        return this.#think(pieces)
      case 'after':
        return this.#skipSpace('answer')
      case 'answer':
        if (this.#input.text !== '')
          pieces.push(...this.#answer.push(this.#input.take(this.#input.text.length)))
        return false
    }
  }

  /** Models open their thoughts even when the prompt did so for them. */
  #begin(pieces: Piece[]): boolean {
    this.#space += this.#input.takeSpace()
    if (this.#input.text === '') return false
    const opens = this.#input.startsWith(this.#markers.open)
    if (opens === null) return false
    if (opens) {
      this.#input.take(this.#markers.open.length)
      pieces.push({ type: 'marker' })
    }
    if (opens || this.#state === 'opened') {
      this.#state = 'silence'
    } else {
      this.#state = 'answer'
      this.#input.putBack(this.#space)
    }
    this.#space = ''
    return true
  }

  #skipSpace(next: 'thoughts' | 'answer'): boolean {
    this.#input.takeSpace()
    if (this.#input.text === '') return false
    this.#state = next
    return true
  }

  #think(pieces: Piece[]): boolean {
    const { text, marker } = this.#input.takeUntil([this.#markers.close])
    const all = this.#space + text
    const thought = all.trimEnd()
    this.#space = all.slice(thought.length)
    if (thought !== '') pieces.push({ type: 'reasoning', text: thought })
    if (marker === null) return false
    pieces.push({ type: 'marker' })
    this.#space = ''
    this.#state = 'after'
    return true
  }
}
