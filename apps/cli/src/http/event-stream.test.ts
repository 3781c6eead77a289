import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EventStreamReader } from './event-stream.ts'

const stream =
  ': ping\n\ndata: {"a":1}\n\nevent: x\ndata: two\ndata: lines\n\ndata:tight\r\n\r\ndata: [DONE]\n\n'
const events = ['{"a":1}', 'two\nlines', 'tight', '[DONE]']

test('reads data, joins its lines, skips comments', () => {
  expect(new EventStreamReader().push(stream)).toEqual(events)
})

test('however the stream is cut, the events are the same', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length)), (cuts) => {
      const reader = new EventStreamReader()
      const places = [0, ...[...cuts].sort((a, b) => a - b), stream.length]
      const read = places.slice(1).flatMap((end, index) => reader.push(stream.slice(places[index], end)))
      expect(read).toEqual(events)
    }),
  )
})
