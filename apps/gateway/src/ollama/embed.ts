import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { checkDimensions } from '../embeddings/dimensions.ts'
import { type Embedded, embedAll, embeddingWork } from '../embeddings/embed-all.ts'
import { MAX_INPUTS } from '../embeddings/embedding-request.ts'
import type { ApiServices } from '../http/api-services.ts'
import { wellFormed } from '../openai/common-fields.ts'
import { parseRequest } from '../openai/parse-request.ts'
import { Stopwatch } from './chat-response.ts'
import { modelNamed } from './common-request.ts'

const embedRequest = z.object({
  model: z.string().min(1),
  input: z
    .union([z.string(), z.array(z.string()).max(MAX_INPUTS)], {
      error: `must be a text or a list of up to ${MAX_INPUTS} texts`,
    })
    .nullish(),
  truncate: z.boolean().nullish(),
  dimensions: z.int().min(0).nullish(),
})

/** The older request for one vector. */
const oneRequest = z.object({ model: z.string().min(1), prompt: z.string().nullish() })

async function vectorsOf(
  services: ApiServices,
  request: FastifyRequest,
  asked: { readonly model: string; readonly inputs: readonly string[]; readonly truncate: boolean },
  signal: AbortSignal,
): Promise<Embedded> {
  return embedAll(
    {
      id: services.ids.next('embd'),
      model: modelNamed(services.models, request.visit, asked.model),
      inputs: asked.inputs.map(wellFormed),
      truncate: asked.truncate,
      pooling: 'mean',
      tenant: request.visit.caller.tenant,
      priority: 0,
      admit: (promptTokens) => services.answering.admit(request, embeddingWork(promptTokens)),
      deadlineMs: services.answering.limits.requestTimeoutMs,
    },
    signal,
  )
}

/** Answers `/api/embed`. */
export async function embed(services: ApiServices, request: FastifyRequest, signal: AbortSignal) {
  const watch = new Stopwatch()
  const { model, input, truncate, dimensions } = parseRequest(embedRequest, request.body)
  const inputs = typeof input === 'string' ? [input].filter((text) => text !== '') : (input ?? [])
  const asked = { model, inputs, truncate: truncate !== false }
  const { vectors, promptTokens } = await vectorsOf(services, request, asked, signal)
  checkDimensions(dimensions || null, vectors)
  const { total, load } = watch.durations()
  return {
    model,
    embeddings: vectors.map((vector) => Array.from(vector)),
    total_duration: total,
    load_duration: load,
    prompt_eval_count: promptTokens,
  }
}

/** Answers `/api/embeddings`. */
export async function embedOne(services: ApiServices, request: FastifyRequest, signal: AbortSignal) {
  const { model, prompt } = parseRequest(oneRequest, request.body)
  const inputs = prompt ? [prompt] : []
  const { vectors } = await vectorsOf(services, request, { model, inputs, truncate: true }, signal)
  return { embedding: vectors.flatMap((vector) => Array.from(vector)) }
}
