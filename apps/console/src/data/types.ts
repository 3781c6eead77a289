import type { ApiClient } from '@deos/sdk'

type Resolved<F> = F extends (...call: never[]) => Promise<infer R> ? R : never
type Streamed<F> = F extends (...call: never[]) => AsyncIterable<{ readonly data: infer D }> ? D : never
type Item<F> = Resolved<F> extends { readonly items: readonly (infer I)[] } ? I : never

/** The body that a function of the client sends. */
export type BodyOf<F extends (call: never) => unknown> = Parameters<F>[0] extends { readonly body: infer B }
  ? B
  : never

export type Client = ApiClient

/** What the client hands out, by the names pages use. */
export type Machine = Item<ApiClient['machines']['list']>
export type Link = Resolved<ApiClient['machines']['links']>['links'][number]
export type JoinToken = Item<ApiClient['joinTokens']['list']>
export type JoinTokenCreated = Resolved<ApiClient['joinTokens']['create']>
export type Model = Item<ApiClient['models']['list']>
export type Deployment = Item<ApiClient['deployments']['list']>
export type DeploymentDetail = Resolved<ApiClient['deployments']['show']>
export type Replica = DeploymentDetail['replicas'][number]
export type Stage = Replica['stages'][number]
export type DeploymentLive = Streamed<ApiClient['deployments']['live']>
export type LiveReplica = DeploymentLive['replicas'][number]
export type Revision = Item<ApiClient['deployments']['revisions']>
export type LogLine = Item<ApiClient['deployments']['logs']>
export type Preview = Resolved<ApiClient['deployments']['preview']>
export type Decision = Item<ApiClient['decisions']['list']>
export type ApiKey = Item<ApiClient['keys']['list']>
export type ApiKeyCreated = Resolved<ApiClient['keys']['create']>
export type Event = Item<ApiClient['events']['list']>
export type RequestRecord = Item<ApiClient['requests']['list']>
export type Usage = Resolved<ApiClient['usage']['show']>
export type UsageRow = Usage['rows'][number]
export type Member = Item<ApiClient['members']['list']>
export type Invitation = Item<ApiClient['invitations']['list']>
export type InvitationCreated = Resolved<ApiClient['invitations']['create']>
export type Project = Item<ApiClient['projects']['list']>
export type Alias = Item<ApiClient['aliases']['list']>
export type Settings = Resolved<ApiClient['settings']['show']>
export type Status = Resolved<ApiClient['status']['show']>
export type Series = Resolved<ApiClient['status']['series']>
export type LedgerEntry = Item<ApiClient['ledger']['entries']>
export type Session = Resolved<ApiClient['session']['show']>
export type Reason = Machine['reason']
export type Price = NonNullable<Machine['pricePerHour']>
export type TimeWindow = NonNullable<
  NonNullable<NonNullable<Parameters<ApiClient['status']['series']>[0]>['query']>['window']
>

export const timeWindows = ['15m', '1h', '6h', '24h', '7d', '30d'] as const satisfies readonly TimeWindow[]
