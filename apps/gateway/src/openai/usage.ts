import type { Usage } from '../inference/text-generation.ts'

/** Token counts as OpenAI reports them; nothing is heard or predicted here. */
export function usageBody(promptTokens: number, usage: Usage) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: promptTokens + usage.completionTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedTokens, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: usage.reasoningTokens,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}
