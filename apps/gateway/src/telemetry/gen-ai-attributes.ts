/** Names of attributes as OpenTelemetry's conventions for generative AI have them, and our own where they have none. */
export const attributeNames = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  inputTokens: 'gen_ai.usage.input_tokens',
  cachedInputTokens: 'gen_ai.usage.cache_read.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  status: 'http.response.status_code',
  errorType: 'error.type',
  requestId: 'deos.request.id',
  organisation: 'deos.organisation.id',
  project: 'deos.project.id',
  deployment: 'deos.deployment.id',
  replica: 'deos.replica.id',
  streamed: 'deos.request.streamed',
  interruptions: 'deos.interruptions',
  firstTokenMs: 'deos.time_to_first_token_ms',
  engineMs: 'deos.engine_ms',
} as const

export const providerName = 'deos'
