/** A request as routers see it. */
export interface RoutedRequest {
  readonly id: number
  readonly promptTokens: number
  /** Machines its prompt has visited or is on its way to; decode steps follow the same path. */
  readonly path: readonly number[]
}

/** End of a path. */
export const atSink = -1
/** Where a path begins. */
export const atSource = -2

/** Decides which machines a request visits. */
export interface Router {
  /** Whether a new request may begin; if not it is turned away for good. */
  admit(request: RoutedRequest): boolean
  /** Where a prompt goes after a machine, or after {@link atSource}: a machine or {@link atSink}. */
  next(request: RoutedRequest, from: number): number
  /** A decode step of the request begins, over the path it has. */
  stepBegins(request: RoutedRequest): void
  /** A machine has finished with a request that was sent to it over the link from `from`, `elapsedMs` ago. */
  served(from: number, to: number, elapsedMs: number): void
  /** The request has its last token. */
  finished(request: RoutedRequest): void
  /** Share of the KV cache that is expected to be in use where it is scarcest; 0 if the router does not keep account. */
  kvUsage(): number
  /** A machine is lost, or back, empty. A router without this cannot be used in runs with outages. */
  availabilityChanged?(machine: number, isThere: boolean): void
}
