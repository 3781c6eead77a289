import { defaultSampling, type SamplingParams, seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EmptyMaskError, InvalidLogitsError } from './errors.ts'
import { gumbelNoise } from './noise.ts'
import { Sampler } from './sampler.ts'
import { maskWords } from './token-mask.ts'

const none = new Int32Array(0)

function sampler(changes: Partial<SamplingParams>, history: Int32Array = none, resumed = 0): Sampler {
  return new Sampler({ ...defaultSampling, ...changes }, history, resumed)
}

/** Every step written out, over sorted arrays: the specification. */
function naiveSample(
  logits: Float32Array,
  position: number,
  params: SamplingParams,
  isAllowed = (_: number) => true,
): number {
  const byLogit = Array.from(logits, (logit, token) => ({ logit, token })).filter(({ token }) =>
    isAllowed(token),
  )
  byLogit.sort((a, b) => b.logit - a.logit || a.token - b.token)
  if (params.temperature === 0) return byLogit[0]!.token
  const scaled = byLogit.map(({ logit, token }) => ({ token, value: logit / params.temperature, logit }))
  const afterTopK = params.topK > 0 ? scaled.slice(0, params.topK) : scaled
  const weights = afterTopK.map(({ value }) => Math.exp(value - scaled[0]!.value))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let kept = 0
  for (let sum = 0; kept < weights.length && (kept === 0 || sum < params.topP * total); kept += 1) {
    sum += weights[kept]!
  }
  const afterTopP = params.topP < 1 ? afterTopK.slice(0, kept) : afterTopK
  const afterMinP = afterTopP.filter(
    ({ logit }) =>
      params.minP === 0 || logit >= scaled[0]!.logit + Math.log(params.minP) * params.temperature,
  )
  const scores = afterMinP.map(({ token, value }) => ({
    token,
    score: value + gumbelNoise(params.seed, position, token),
  }))
  return scores.reduce((best, other) => (other.score > best.score ? other : best)).token
}

function randomLogits(seed: number, size: number, spread: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: size }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
    return normal * spread
  })
}

describe('filters', () => {
  const cases = fc.record({
    logitSeed: fc.integer(),
    size: fc.integer({ min: 1, max: 700 }),
    spread: fc.constantFrom(0, 0.5, 3, 12),
    coarse: fc.boolean(),
    temperature: fc.constantFrom(0.1, 0.7, 1, 2.3),
    topK: fc.constantFrom(0, 1, 2, 7, 40, 300, 5000),
    topP: fc.constantFrom(1, 0.997, 0.9, 0.51, 0.0001),
    minP: fc.constantFrom(0, 0.013, 0.2, 0.77),
    seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
    position: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  })

  test('choose what sorting the whole vocabulary chooses', () => {
    fc.assert(
      fc.property(cases, (drawn) => {
        const logits = randomLogits(drawn.logitSeed, drawn.size, drawn.spread)
        // Whole numbers make ties.
        if (drawn.coarse) for (let i = 0; i < logits.length; i += 1) logits[i] = Math.round(logits[i]!)
        const params = { ...defaultSampling, ...drawn }
        expect(sampler(drawn).sample(logits, drawn.position).token).toBe(
          naiveSample(logits, drawn.position, params),
        )
      }),
      { numRuns: 500 },
    )
  })

  test('in a large vocabulary choose what sorting it chooses', () => {
    const logits = randomLogits(4, 33_000, 4)
    for (const changes of [{}, { topP: 0.9 }, { topK: 900 }, { minP: 0.001 }, { temperature: 1.7 }]) {
      for (let position = 0; position < 8; position += 1) {
        const params = { ...defaultSampling, ...changes }
        expect(sampler(changes).sample(logits, position).token).toBe(naiveSample(logits, position, params))
      }
    }
  })

  test('top-k 1 and top-p 0 are greedy', () => {
    const logits = Float32Array.of(1, 3, 2, 3)
    for (let position = 0; position < 20; position += 1) {
      expect(sampler({ topK: 1 }).sample(logits, position).token).toBe(1)
      expect(sampler({ topP: 0 }).sample(logits, position).token).toBe(1)
    }
  })
})

describe('the distribution', () => {
  function counts(changes: Partial<SamplingParams>, logits: Float32Array, draws: number): number[] {
    const found = new Array<number>(logits.length).fill(0)
    const subject = sampler(changes)
    for (let position = 0; position < draws; position += 1) {
      const { token } = subject.sample(logits, position)
      found[token] = found[token]! + 1
    }
    return found
  }

  function chiSquare(found: readonly number[], expected: readonly number[]): number {
    return found.reduce((sum, count, i) => sum + (count - expected[i]!) ** 2 / expected[i]!, 0)
  }

  // 99.9 % quantiles of chi-square: 27.88 for 9 degrees of freedom, 180.8 for 127.
  test.each([
    { size: 10, temperature: 1, seed: '1', quantile: 27.88 },
    { size: 10, temperature: 0.5, seed: '18446744073709551557', quantile: 27.88 },
    { size: 128, temperature: 2, seed: '3', quantile: 180.8 },
  ])(
    'is the softmax for $size tokens at temperature $temperature',
    ({ size, temperature, seed, quantile }) => {
      const logits = Float32Array.from({ length: size }, (_, i) => Math.sin(i * 2.3) * 1.2)
      const weights = Array.from(logits, (logit) => Math.exp(logit / temperature))
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      const draws = 20_000
      const expected = weights.map((weight) => (weight / total) * draws)
      expect(chiSquare(counts({ temperature, seed }, logits, draws), expected)).toBeLessThan(quantile)
    },
  )

  test('under top-k is the softmax of the tokens left', () => {
    const logits = Float32Array.of(0, 2, 1, -1, 0.5)
    const found = counts({ topK: 3, seed: '5' }, logits, 10_000)
    expect([found[0], found[3]]).toEqual([0, 0])
    const weights = [2, 1, 0.5].map(Math.exp)
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    // 99.9 % quantile for 2 degrees of freedom.
    expect(
      chiSquare(
        [found[1]!, found[2]!, found[4]!],
        weights.map((weight) => (weight / total) * 10_000),
      ),
    ).toBeLessThan(13.82)
  })
})

describe('coupling', () => {
  test('the same seed, position and logits give the same token, whoever asks', () => {
    const logits = randomLogits(1, 500, 2)
    for (let position = 0; position < 50; position += 1) {
      expect(sampler({ seed: '9' }).sample(logits, position)).toEqual(
        sampler({ seed: '9' }).sample(logits, position),
      )
    }
  })

  test('padding the vocabulary with tokens that cannot win changes nothing', () => {
    const logits = randomLogits(2, 100, 2)
    const padded = new Float32Array(130).fill(-1000)
    padded.set(logits)
    for (let position = 0; position < 50; position += 1) {
      expect(sampler({}).sample(padded, position).token).toBe(sampler({}).sample(logits, position).token)
    }
  })

  test('a nearby distribution agrees far more often than independent sampling would', () => {
    const target = randomLogits(3, 200, 1.5)
    const nudge = randomLogits(4, 200, 0.3)
    const draft = target.map((logit, i) => logit + nudge[i]!)
    let shared = 0
    let independent = 0
    for (let position = 0; position < 2000; position += 1) {
      const chosen = sampler({ seed: '1' }).sample(target, position).token
      if (chosen === sampler({ seed: '1' }).sample(draft, position).token) shared += 1
      if (chosen === sampler({ seed: '2' }).sample(draft, position).token) independent += 1
    }
    expect(shared).toBeGreaterThan(1500)
    expect(independent).toBeLessThan(300)
  })
})

test('a session resumed anywhere continues identically, penalties included', () => {
  const changes = {
    seed: '77',
    repetitionPenalty: 1.3,
    presencePenalty: 0.4,
    frequencyPenalty: 0.6,
    topP: 0.9,
  }
  const prompt = Int32Array.of(3, 9, 9, 14)
  const logitsAt = (position: number) => randomLogits(position, 40, 1)
  const run = (history: Int32Array, resumed: number, until: number) => {
    const subject = sampler(changes, history, resumed)
    const tokens = [...history]
    while (tokens.length < until) tokens.push(subject.sample(logitsAt(tokens.length), tokens.length).token)
    return tokens
  }
  const whole = run(prompt, 0, 40)
  for (const cut of [4, 5, 17, 39]) {
    expect(run(Int32Array.from(whole.slice(0, cut)), cut - prompt.length, 40)).toEqual(whole)
  }
})

describe('penalties', () => {
  const greedy = { temperature: 0 }

  test('the repetition penalty divides positive and multiplies negative logits of prompt and output', () => {
    // Token 0: 3 / 2 = 1.5; token 1: -1 * 2 = -2; token 2 unseen.
    const logits = Float32Array.of(3, -1, 1.6)
    const history = Int32Array.of(0, 1)
    expect(sampler({ ...greedy, repetitionPenalty: 2 }, history).sample(logits, 2).token).toBe(2)
    expect(sampler({ ...greedy, repetitionPenalty: 1.8 }, history).sample(logits, 2).token).toBe(0)
    const negative = Float32Array.of(-1, -1.9)
    expect(sampler({ ...greedy, repetitionPenalty: 2 }, history.slice(0, 1)).sample(negative, 1).token).toBe(
      1,
    )
    expect(
      sampler({ ...greedy, repetitionPenalty: 1.8 }, history.slice(0, 1)).sample(negative, 1).token,
    ).toBe(0)
  })

  test('presence and frequency count the output, not the prompt', () => {
    // Token 0 was generated twice: 5 - 1 - 2 * 0.75 = 2.5.
    const changes = { ...greedy, presencePenalty: 1, frequencyPenalty: 0.75 }
    const history = Int32Array.of(0, 0)
    expect(sampler(changes, history, 2).sample(Float32Array.of(5, 2.6), 2).token).toBe(1)
    expect(sampler(changes, history, 2).sample(Float32Array.of(5, 2.4), 2).token).toBe(0)
    expect(sampler(changes, history, 0).sample(Float32Array.of(5, 2.6), 2).token).toBe(0)
    expect(sampler(changes, history, 1).sample(Float32Array.of(5, 3.3), 2).token).toBe(1)
    expect(sampler(changes, history, 1).sample(Float32Array.of(5, 3.2), 2).token).toBe(0)
  })

  test('tokens the sampler itself produced count at once', () => {
    const subject = sampler({ ...greedy, frequencyPenalty: 1 })
    const logits = Float32Array.of(3, 1.5)
    const tokens = [0, 1, 2, 3].map((position) => subject.sample(logits, position).token)
    // 3, then 2, then 1 against 1.5, then 1 against 0.5.
    expect(tokens).toEqual([0, 0, 1, 0])
  })

  test('logit bias adds, and one for a token beyond the vocabulary is without effect', () => {
    const logits = Float32Array.of(1, 2, 0)
    const logitBias = [
      [2, 2.5],
      [1, -100],
      [999, 100],
    ] as const
    expect(sampler({ ...greedy, logitBias }).sample(logits, 0).token).toBe(2)
    expect([...logits]).toEqual([1, 2, 0])
  })
})

describe('logprobs', () => {
  test('are those of the logits as given, most likely first', () => {
    const logits = Float32Array.of(0, Math.log(2), Math.log(5))
    const { token, logprobs } = sampler({ temperature: 0, logitBias: [[0, 50]], logprobs: 2 }).sample(
      logits,
      0,
    )
    expect(token).toBe(0)
    expect(logprobs!.logprob).toBeCloseTo(Math.log(1 / 8), 6)
    expect(logprobs!.top.map((entry) => entry.token)).toEqual([2, 1])
    expect(logprobs!.top[0]!.logprob).toBeCloseTo(Math.log(5 / 8), 6)
  })

  test('need no more tokens than there are, and 0 alternatives are none', () => {
    const logits = Float32Array.of(1, 2)
    expect(sampler({ logprobs: 20 }).sample(logits, 0).logprobs!.top).toHaveLength(2)
    expect(sampler({ logprobs: 0 }).sample(logits, 0).logprobs!.top).toEqual([])
    expect(sampler({}).sample(logits, 0).logprobs).toBeNull()
  })

  test('sum to one over the vocabulary', () => {
    const logits = randomLogits(8, 3000, 9)
    const { top } = sampler({ logprobs: 3000 }).sample(logits, 0).logprobs!
    expect(top.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 9)
  })
})

describe('bad input', () => {
  test.each([Number.NaN, Infinity, -Infinity])('a logit of %s is refused by name', (value) => {
    for (const temperature of [0, 1]) {
      const logits = new Float32Array(200)
      logits[137] = value
      const act = () => sampler({ temperature }).sample(logits, 12)
      expect(act).toThrow(InvalidLogitsError)
      expect(act).toThrow(`token 137 at position 12 is ${value}`)
    }
  })

  test('no logits at all are refused', () => {
    expect(() => sampler({}).sample(new Float32Array(0), 0)).toThrow(InvalidLogitsError)
  })

  test.each([
    { temperature: -1 },
    { temperature: Number.NaN },
    { topK: 1.5 },
    { topP: 1.01 },
    { minP: -0.1 },
    { repetitionPenalty: 0 },
    { presencePenalty: Infinity },
    { logitBias: [[-1, 0]] as const },
    { logitBias: [[1, 1000]] as const },
    { seed: 'x' },
    { logprobs: -1 },
  ])('%o is out of range', (changes) => {
    expect(() => sampler(changes)).toThrow(RangeError)
  })

  test('more generated tokens than history, or a position that is none, are refused', () => {
    expect(() => sampler({}, Int32Array.of(1), 2)).toThrow(RangeError)
    expect(() => sampler({}).sample(Float32Array.of(1), -1)).toThrow(RangeError)
  })
})

const maskOf = (size: number, allowed: Iterable<number>): Uint32Array => {
  const mask = new Uint32Array(maskWords(size))
  for (const token of allowed) mask[token >> 5]! |= 1 << (token & 31)
  return mask
}

describe('a mask', () => {
  test('chooses what is chosen from a vocabulary without the masked tokens', () => {
    const cases = fc.record({
      logitSeed: fc.integer(),
      size: fc.integer({ min: 1, max: 700 }),
      density: fc.constantFrom(0.01, 0.3, 0.97, 1),
      temperature: fc.constantFrom(0, 0.1, 1, 2.3),
      topK: fc.constantFrom(0, 1, 7, 300),
      topP: fc.constantFrom(1, 0.997, 0.51, 0.0001),
      minP: fc.constantFrom(0, 0.013, 0.77),
      seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
      position: fc.nat(2 ** 32 - 1),
    })
    fc.assert(
      fc.property(cases, (drawn) => {
        const { size, position } = drawn
        const logits = randomLogits(drawn.logitSeed, size, 3)
        const random = seededRandom(drawn.logitSeed)
        const allowed = new Set([Math.floor(random.next() * size)])
        for (let token = 0; token < size; token += 1) if (random.next() < drawn.density) allowed.add(token)
        const { token } = sampler(drawn).sample(logits, position, maskOf(size, allowed))
        const expected = naiveSample(logits, position, { ...defaultSampling, ...drawn }, (each) =>
          allowed.has(each),
        )
        expect(token).toBe(expected)
      }),
      { numRuns: 500 },
    )
  })

  test('that allows everything changes nothing, bits beyond the vocabulary included', () => {
    const logits = randomLogits(3, 100, 3)
    const before = logits.slice()
    const all = new Uint32Array(4).fill(0xffff_ffff)
    for (let position = 0; position < 20; position += 1) {
      expect(sampler({}).sample(logits, position, all)).toEqual(sampler({}).sample(logits, position))
    }
    expect(logits).toEqual(before)
  })

  test('binds biases and penalties too, and leaves the reported log-probabilities alone', () => {
    const logits = randomLogits(5, 64, 3)
    const changes = { temperature: 0, logprobs: 3, logitBias: [[9, 100]] as const, repetitionPenalty: 1.3 }
    const { token, logprobs } = sampler(changes).sample(logits, 7, maskOf(64, [20, 21]))
    expect([20, 21]).toContain(token)
    const free = sampler({ ...changes, logitBias: [] }).sample(logits, 7)
    expect(logprobs!.top).toEqual(free.logprobs!.top)
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0)
    expect(logprobs!.logprob).toBeCloseTo(logits[token]! - Math.log(total), 6)
  })

  test('that allows nothing, or is made for another vocabulary, is refused', () => {
    const logits = randomLogits(6, 40, 1)
    const nothing = Uint32Array.of(0, 0xffff_ff00)
    expect(() => sampler({}).sample(logits, 3, nothing)).toThrow(EmptyMaskError)
    expect(() => sampler({ temperature: 0 }).sample(logits, 3, nothing)).toThrow(/no token at position 3/)
    expect(() => sampler({}).sample(logits, 3, new Uint32Array(1))).toThrow(/1 words .* 40 tokens; it has 2/)
  })
})
