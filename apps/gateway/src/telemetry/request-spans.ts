import type { EndedSpan } from '@deos/service'
import type { EndedRequest } from '../accounting/request-ticket.ts'
import { attributeNames as names, providerName } from './gen-ai-attributes.ts'

/** One span for a request, and one below it for each part of its timeline. Texts and keys are in none. */
export function requestSpan({ record, operation }: EndedRequest): Omit<EndedSpan, 'kind' | 'startMs'> {
  const startMs = Date.parse(record.at)
  const engineMs = record.hops.reduce((sum, hop) => sum + hop.prefill.computeMs + hop.decode.computeMs, 0)
  const failed = record.status >= 500
  return {
    name: `${operation} ${record.model}`,
    endMs: startMs + record.durationMs,
    error: failed ? `status ${record.status}` : null,
    attributes: {
      [names.operation]: operation,
      [names.provider]: providerName,
      [names.requestModel]: record.model,
      [names.inputTokens]: record.promptTokens,
      [names.cachedInputTokens]: record.cachedPromptTokens,
      [names.outputTokens]: record.completionTokens,
      [names.status]: record.status,
      [names.requestId]: record.id,
      [names.organisation]: record.organisationId,
      [names.project]: record.projectId,
      [names.streamed]: record.streamed,
      [names.interruptions]: record.interruptions,
      [names.engineMs]: engineMs,
      ...(record.deploymentId !== null && { [names.deployment]: record.deploymentId }),
      ...(record.replicaId !== null && { [names.replica]: record.replicaId }),
      ...(record.ttftMs !== null && { [names.firstTokenMs]: record.ttftMs }),
      ...(failed && { [names.errorType]: String(record.status) }),
    },
    children: record.timeline.map(({ phase, startMs: from, endMs: to }) => ({
      name: phase,
      startMs: startMs + from,
      endMs: startMs + to,
      attributes: {},
    })),
  }
}
