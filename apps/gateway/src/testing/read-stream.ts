/** A server-sent event with a name, its data read as JSON. */
export interface ReadEvent {
  readonly event: string
  readonly data: Readonly<Record<string, unknown>>
}

/** All named events of a finished stream. @throws Error for anything else in it */
export async function readEvents(response: Response): Promise<readonly ReadEvent[]> {
  const text = await response.text()
  return text.split(/(?<=\n\n)/).map((part) => {
    const match = /^event: (.+)\ndata: (.+)\n\n$/.exec(part)
    if (match === null) throw new Error(`Not an event with a name: ${JSON.stringify(part)}`)
    return { event: match[1]!, data: JSON.parse(match[2]!) }
  })
}

/** All lines of a finished stream, each read as JSON. */
export async function readLines(response: Response): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const text = await response.text()
  if (!text.endsWith('\n')) throw new Error(`The last line does not end: ${JSON.stringify(text.slice(-80))}`)
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line))
}
