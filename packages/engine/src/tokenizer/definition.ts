/** All that makes a tokenizer, as plain data: it can be sent to a thread. */
export interface TokenizerDefinition {
  /** Where it came from, for messages. */
  readonly origin: string
  /** `tokenizer.json` as Hugging Face writes it, not checked yet. */
  readonly json: Readonly<Record<string, unknown>>
  /** Texts of the tokens templates call `bos_token` and `eos_token`; `null` if the model has none. */
  readonly bosToken: string | null
  readonly eosToken: string | null
  /** Whether encoding puts BOS first and EOS last; `null` leaves it to the post-processor of `json`. */
  readonly addBos: boolean | null
  readonly addEos: boolean | null
  /** Tokens that end a generation. */
  readonly stopTokens: readonly number[]
  /** Jinja source; `null` if the model brings none. */
  readonly chatTemplate: string | null
  /** Used instead when tools are offered, if the model has a template of its own for that. */
  readonly toolChatTemplate: string | null
}
