import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterEach, expect, test } from 'vitest'
import { DeosProcess, type ReadyEvent } from './deos-process.ts'

const home = mkdtempSync(join(tmpdir(), 'deos-crash-'))
let up: DeosProcess | null = null

afterEach(async () => {
  up?.signal('SIGKILL')
  await up?.exit
  rmSync(home, { recursive: true, force: true })
})

const childrenOf = (pid: number): readonly number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)

async function stream({ url, model }: ReadyEvent, onPiece: (count: number) => void): Promise<string> {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  let text = ''
  let count = 0
  const pieces = await client.completions.create({
    ...{ model, prompt: 'Ownership in Rust', max_tokens: 96, temperature: 0, stream: true },
  })
  for await (const piece of pieces) {
    text += piece.choices[0]?.text ?? ''
    onPiece(++count)
  }
  return text
}

test.skipIf(!existsSync('/proc/self/task'))(
  'a native abort of any engine in the middle of an answer is a pause for the official client',
  async () => {
    up = new DeosProcess(home, ['--port', '0'])
    const ready = await up.ready()
    const undisturbed = await stream(ready, () => undefined)
    for (const { worker, pid } of ready.workers) {
      const [engine] = childrenOf(pid)
      expect(engine, `engine of ${worker}`).toBeGreaterThan(0)
      const disturbed = await stream(ready, (count) => {
        if (count === 10) process.kill(engine!, 'SIGABRT')
      })
      expect(disturbed, `after a crash of ${worker}'s engine`).toBe(undisturbed)
      expect(childrenOf(pid)).not.toContain(engine)
    }
    expect(ready.workers.every(({ pid }) => existsSync(`/proc/${pid}`))).toBe(true)
  },
  120_000,
)
