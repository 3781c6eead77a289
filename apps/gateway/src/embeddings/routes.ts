import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiServices } from '../http/api-services.ts'
import { findModel } from '../openai/common-fields.ts'
import { parseRequest } from '../openai/parse-request.ts'
import { checkDimensions } from './dimensions.ts'
import { embedAll, embeddingWork } from './embed-all.ts'
import { embeddingInputs, embeddingRequest } from './embedding-request.ts'
import { embeddingBody } from './embedding-response.ts'

async function embeddings(
  services: ApiServices,
  request: FastifyRequest,
  signal: AbortSignal,
): Promise<unknown> {
  const fields = parseRequest(embeddingRequest, request.body)
  const model = findModel(services.models, request.visit, fields.model)
  const { vectors, promptTokens } = await embedAll(
    {
      id: services.ids.next('embd'),
      model,
      inputs: embeddingInputs(fields),
      truncate: false,
      pooling: fields.pooling ?? 'mean',
      tenant: request.visit.caller.tenant,
      priority: 0,
      admit: (promptTokens) => services.answering.admit(request, embeddingWork(promptTokens)),
      deadlineMs: services.answering.limits.requestTimeoutMs,
    },
    signal,
  )
  checkDimensions(fields.dimensions, vectors)
  return embeddingBody(model.id, vectors, fields.encoding_format ?? 'float', promptTokens)
}

/** `/v1/embeddings` as OpenAI documents it, for any model served here. */
export function registerEmbeddings(app: FastifyInstance, services: ApiServices): void {
  app.post('/v1/embeddings', (request, reply) =>
    services.answering.run(request, reply, (signal) => embeddings(services, request, signal)),
  )
}
