/** What an agent tells the process that started it: one JSON line each on standard output. */
export type AgentEvent =
  | { readonly event: 'started'; readonly address: string; readonly devices: readonly string[] }
  /** The control plane does not answer; it is asked again. */
  | { readonly event: 'unreachable'; readonly message: string; readonly delayMs: number }
  | {
      readonly event: 'joined'
      readonly machineId: string
      readonly name: string
      readonly incarnation: number
      /** Where other machines reach it; null behind a NAT. */
      readonly linkAddress: string | null
    }
  /** It answers again. */
  | { readonly event: 'reachable' }
  | { readonly event: 'benchmarking' }
  | { readonly event: 'benchmarked'; readonly benchmark: object }
  /** All stages, whenever one comes, goes or changes its state. */
  | {
      readonly event: 'stages'
      readonly stages: readonly {
        readonly stageId: string
        readonly model: string
        readonly layers: { readonly first: number; readonly end: number }
        readonly state: string
        readonly loadedFraction: number
        readonly problem: string | null
      }[]
    }
  /** Others take over its stages. */
  | { readonly event: 'leaving' }
  /** @see exitCodeOf for the exit code that follows */
  | { readonly event: 'ended'; readonly code: string; readonly message: string; readonly hint: string }
