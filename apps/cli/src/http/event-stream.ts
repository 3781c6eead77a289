/** Collects the `data` of server-sent events from text that comes in pieces. Comments and other fields are skipped. */
export class EventStreamReader {
  #rest = ''
  #data: string[] = []

  /** @returns the data of every event completed by this piece */
  push(text: string): readonly string[] {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/)
    this.#rest = lines.pop() ?? ''
    const events: string[] = []
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) events.push(this.#data.join('\n'))
        this.#data = []
      } else if (line.startsWith('data:')) {
        this.#data.push(line.slice(line.startsWith('data: ') ? 6 : 5))
      }
    }
    return events
  }
}
