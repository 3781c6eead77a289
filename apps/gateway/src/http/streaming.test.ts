import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { InterruptedError } from '../inference/errors.ts'
import { bytesOf } from '../testing/byte-model.ts'
import { sampled, say, sayAndHang, untilAborted } from '../testing/scripted-backend.ts'
import { startGateway, until } from '../testing/start-gateway.ts'

const chat = '/v1/chat/completions'
const body = { model: 'bytes', messages: [{ role: 'user', content: 'Hi' }], stream: true }

/** A client that sends a streaming request and reads only when told. */
function rawClient(url: string, request: object): Socket {
  const text = JSON.stringify(request)
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => undefined)
  socket.pause()
  socket.write(
    `POST ${chat} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  )
  return socket
}

test('the wire format is data lines, a blank line after each, and [DONE]', async () => {
  const { post } = await startGateway((request) => say('ab', request))
  const text = await (await post(chat, body)).text()
  const events = text.split('\n\n')
  expect(events.pop()).toBe('')
  expect(events.every((event) => event.startsWith('data: ') && !event.includes('\n'))).toBe(true)
  expect(events.at(-1)).toBe('data: [DONE]')
  expect(events).toHaveLength(5)
})

test('a disconnect cancels the session', async () => {
  const { url, backend } = await startGateway((request, signal) => sayAndHang('abc', request, signal))
  const socket = rawClient(url, body)
  socket.resume()
  await once(socket, 'data')
  expect(backend.running).toBe(1)
  socket.destroy()
  await until(() => backend.running === 0)
})

test('a disconnect cancels every answer of the call', async () => {
  const { url, backend } = await startGateway((request, signal) => sayAndHang('abc', request, signal))
  const socket = rawClient(url, { ...body, n: 5 })
  socket.resume()
  await until(() => backend.running === 5)
  socket.destroy()
  await until(() => backend.running === 0)
  expect(backend.ended).toHaveLength(5)
})

test('a disconnect before the first token cancels too', async () => {
  const { url, backend } = await startGateway(async function* (_request, signal) {
    yield* []
    await untilAborted(signal)
  })
  const socket = rawClient(url, body)
  await until(() => backend.running === 1)
  socket.destroy()
  await until(() => backend.running === 0)
})

test('a reader that takes nothing is cut off at the buffer’s limit', async () => {
  const bufferBytes = 64 * 1024
  const { url, backend } = await startGateway(
    async function* (request, signal) {
      for (;;) {
        signal.throwIfAborted()
        yield { sampled: sampled(bytesOf('x')[0]!, request.sampling.logprobs), finish: null, cachedTokens: 0 }
        // Lets the socket take what it can, as a real backend's pauses do.
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
    { options: { bufferBytes }, model: { contextLength: 1e9 } },
  )
  const socket = rawClient(url, { ...body, logprobs: true, top_logprobs: 20 })
  await until(() => backend.running === 1)
  await until(() => backend.running === 0)
  socket.resume()
  await once(socket, 'close')
  expect(await (await fetch(`${url}/metrics`)).text()).toContain('deos_slow_readers_cut_total 1')
})

test('a reader that makes no progress in time is cut off', async () => {
  const { url, backend } = await startGateway(
    async function* (request, signal) {
      // More than the two sockets buffer between them, so that something stays unsent.
      for (let count = 0; count < 4000; count++) {
        yield { sampled: sampled(bytesOf('x')[0]!, request.sampling.logprobs), finish: null, cachedTokens: 0 }
      }
      await untilAborted(signal)
    },
    { options: { bufferBytes: 1e9, stallMs: 100 }, model: { contextLength: 1e9 } },
  )
  const socket = rawClient(url, { ...body, logprobs: true, top_logprobs: 20 })
  await until(() => backend.ended.length === 1)
  socket.destroy()
})

test('silence is filled with comments, then the answer goes on', async () => {
  let release: () => void = () => undefined
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  const { post } = await startGateway(
    async function* (request) {
      await gate
      yield* say('late', request)
    },
    { options: { pingMs: 5 } },
  )
  const response = await post(chat, body)
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (!text.includes(': ping\n\n')) text += (await reader.read()).value
  expect(text).toContain('"role":"assistant"')
  release()
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value
  expect(text).toContain('"content":"e"')
  expect(text).toMatch(/data: \[DONE\]\n\n$/)
})

test('a failure after the stream began is an event, and the stream ends', async () => {
  const { post } = await startGateway(async function* (request) {
    for await (const event of say('a!', request)) {
      if (event.finish) throw new InterruptedError('a worker went away.')
      yield event
    }
  })
  const text = await (await post(chat, body)).text()
  const last = text.trimEnd().split('\n\n').at(-1)!
  expect(JSON.parse(last.slice('data: '.length))).toEqual({
    error: {
      message: 'The generation was interrupted: a worker went away. Send the request again.',
      type: 'service_unavailable_error',
      param: null,
      code: 'interrupted',
    },
  })
})

test('200 streams at once are not mixed up', async () => {
  const { post, backend } = await startGateway(async function* (request) {
    // Answers with what was asked, in slices that interleave with all the others.
    for await (const event of say(Buffer.from(request.tokens).toString().slice(5, -1), request)) {
      await new Promise((resolve) => setImmediate(resolve))
      yield event
    }
  })
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const content = `question ${index} ${'é'.repeat(index % 7)}`
      const response = await post(chat, { ...body, messages: [{ role: 'user', content }] })
      const events = (await response.text()).split('\n\n').filter((event) => event.startsWith('data: {'))
      const text = events.map((event) => JSON.parse(event.slice(6)).choices[0].delta.content ?? '').join('')
      return [content, text]
    }),
  )
  for (const [content, text] of answers) expect(text).toBe(content)
  expect(backend.running).toBe(0)
})
