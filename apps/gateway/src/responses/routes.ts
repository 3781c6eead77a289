import { unixSeconds } from '@deos/service'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Call } from '../http/answering.ts'
import type { ApiServices } from '../http/api-services.ts'
import { prepareChat } from '../inference/chat/chat-call.ts'
import type { ChatEvent } from '../inference/chat/chat-events.ts'
import { plainChat } from '../inference/chat/chat-request.ts'
import { findModel, priorityOf, samplingFor } from '../openai/common-fields.ts'
import { parseRequest } from '../openai/parse-request.ts'
import { offeredTools } from './function-tools.ts'
import type { ResponseFacts } from './response-body.ts'
import {
  chatMessages,
  outputFormat,
  reasoningOf,
  refuseUnsupported,
  responseRequest,
} from './response-request.ts'
import { ResponseStream, responseBody } from './response-stream.ts'

async function prepareResponse(
  services: ApiServices,
  request: FastifyRequest,
  signal: AbortSignal,
): Promise<Call<ChatEvent>> {
  const fields = parseRequest(responseRequest, request.body)
  refuseUnsupported(fields)
  const model = findModel(services.models, request.visit, fields.model)
  const { temperature, top_p } = fields
  const sampling = samplingFor({ model: fields.model, temperature, top_p }, model, null)(0)
  const id = services.ids.next('resp')
  const prepared = await prepareChat(
    model,
    {
      ...plainChat,
      id,
      tenant: request.visit.caller.tenant,
      priority: priorityOf(fields),
      messages: chatMessages(fields),
      ...offeredTools(fields),
      parallelToolCalls: fields.parallel_tool_calls !== false,
      output: outputFormat(fields),
      reasoning: reasoningOf(fields),
      sampling: [sampling],
      maxTokens: fields.max_output_tokens ?? null,
      deadlineMs: services.answering.limits.requestTimeoutMs,
    },
    signal,
  )
  const facts: ResponseFacts = {
    id,
    createdSeconds: unixSeconds(),
    model: model.id,
    promptTokens: prepared.promptTokens,
    request: fields,
    temperature: sampling.temperature,
    topP: sampling.topP,
  }
  return {
    ...prepared,
    stream: fields.stream ? new ResponseStream(facts) : null,
    body: (events) => responseBody(facts, events),
  }
}

/** `/v1/responses` as OpenAI documents it, without anything kept between requests. */
export function registerResponses(app: FastifyInstance, services: ApiServices): void {
  app.post('/v1/responses', (request, reply) =>
    services.answering.answer(request, reply, (signal) => prepareResponse(services, request, signal)),
  )
}
