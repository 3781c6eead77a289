import { expect, test } from 'vitest'
import { dataOf } from './sse.ts'

function bodyOf(chunks: readonly string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
      controller.close()
    },
  })
}

const read = async (chunks: readonly string[]): Promise<string[]> => {
  const found: string[] = []
  for await (const data of dataOf(bodyOf(chunks))) found.push(data)
  return found
}

test('events are found wherever the bytes are cut', async () => {
  const text = ': ping\n\ndata: {"a":1}\n\ndata:one\ndata: two\n\nevent: x\ndata: [DONE]\n\n'
  const wanted = ['{"a":1}', 'one\ntwo', '[DONE]']
  expect(await read([text])).toEqual(wanted)
  expect(await read([...text])).toEqual(wanted)
})

test('an event that was not finished is none', async () => {
  expect(await read(['data: whole\n\ndata: hal'])).toEqual(['whole'])
})
