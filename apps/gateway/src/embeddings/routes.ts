import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiServices } from '../http/api-services.ts'
import { tenantOf } from '../http/request-origin.ts'
import { findModel } from '../openai/common-fields.ts'
import { parseRequest } from '../openai/parse-request.ts'
import { checkDimensions } from './dimensions.ts'
import { embedAll } from './embed-all.ts'
import { embeddingInputs, embeddingRequest } from './embedding-request.ts'
import { embeddingBody } from './embedding-response.ts'

async function embeddings(
  services: ApiServices,
  request: FastifyRequest,
  signal: AbortSignal,
): Promise<unknown> {
  const fields = parseRequest(embeddingRequest, request.body)
  const model = findModel(services.models, fields.model)
  const { vectors, promptTokens } = await embedAll(
    {
      id: services.ids.next('embd'),
      model,
      inputs: embeddingInputs(fields),
      truncate: false,
      pooling: fields.pooling ?? 'mean',
      tenant: tenantOf(request.headers),
      priority: 0,
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
    services.answering.run(reply, (signal) => embeddings(services, request, signal)),
  )
}
