import Ajv2020, { type ValidateFunction } from 'ajv/dist/2020.js'
import { beforeAll, expect, test } from 'vitest'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { GrammarEngine } from './engine.ts'
import { randomSchema, seededRandom } from './testing/schemas.ts'
import { type Choose, embeddedVocabulary, sampleAnswer, skewed, uniform } from './testing/walks.ts'

const schemas = 500
const maxTokens = 256

const samplers: Readonly<Record<string, (random: () => number) => Choose>> = { uniform, skewed }

const utf8 = new TextDecoder('utf-8', { fatal: true })

let tokenizer: Tokenizer
let engine: GrammarEngine

beforeAll(async () => {
  const embedded = await embeddedVocabulary()
  tokenizer = embedded.tokenizer
  engine = new GrammarEngine(embedded.vocabulary, { maxGrammars: 1 })
})

/** What is wrong with an answer in the eyes of ajv, which knows nothing of grammars. */
function findFault(validate: ValidateFunction, answer: string): string | null {
  try {
    return validate(JSON.parse(answer)) ? null : JSON.stringify(validate.errors)
  } catch (error) {
    return String(error)
  }
}

test(`${schemas} random schemas: every answer is valid and ends within ${maxTokens} tokens`, () => {
  const faults: string[] = []
  const ajv = new Ajv2020({ strict: false, addUsedSchema: false })
  for (let seed = 0; seed < schemas; seed += 1) {
    const schema = randomSchema(seed)
    const validate = ajv.compile(schema)
    for (const [name, sampler] of Object.entries(samplers)) {
      const { tokens, stopped } = sampleAnswer(
        engine,
        { type: 'json_schema', schema },
        { choose: sampler(seededRandom(seed + 1_000_000)), maxTokens, stopTokens: tokenizer.stopTokens },
      )
      // Fails on a character that was left unfinished.
      const answer = utf8.decode(Buffer.concat(tokens.map((token) => tokenizer.tokenBytes(token))))
      const fault = stopped ? findFault(validate, answer) : 'did not stop'
      if (fault !== null) faults.push(`seed ${seed}, ${name}: ${fault}\n${JSON.stringify(schema)}\n${answer}`)
    }
  }
  expect(faults).toEqual([])
}, 240_000)
