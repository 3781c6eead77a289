import type {
  DeploymentId,
  MachineId,
  ModelId,
  OrganisationId,
  ProjectId,
  ReplicaId,
  StageId,
} from '@deos/domain'
import { z } from 'zod'
import { exemplified } from '../contract/registry.ts'

type Branded<B extends string> = string & z.core.$brand<B>

export type UserId = Branded<'user'>
export type KeyId = Branded<'key'>
export type JoinTokenId = Branded<'join token'>
export type InvitationId = Branded<'invitation'>
export type RequestId = Branded<'request'>
export type DecisionId = Branded<'decision'>
export type LedgerEntryId = Branded<'ledger entry'>

const idPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/

/** Ids are opaque: any short word that is safe in an address. The schema adds the type that tells them apart. */
function id<T extends string>(prefix: string): z.ZodType<T, string> {
  const schema = z.string().regex(idPattern, 'must be an id: 1 to 64 letters, digits, "-" and "_"')
  const examples = ['0c1', '1d2', '2e3', '3f4', '4g5', '5h6', '6i7', '7j8'].map((end) => `${prefix}-${end}`)
  return exemplified(schema as unknown as z.ZodType<T, string>, examples)
}

export const organisationIdSchema = id<OrganisationId>('org')
export const projectIdSchema = id<ProjectId>('project')
export const userIdSchema = id<UserId>('user')
export const keyIdSchema = id<KeyId>('key')
export const joinTokenIdSchema = id<JoinTokenId>('join')
export const invitationIdSchema = id<InvitationId>('invitation')
export const machineIdSchema = id<MachineId>('machine')
export const modelIdSchema = id<ModelId>('model')
export const deploymentIdSchema = id<DeploymentId>('deployment')
export const replicaIdSchema = id<ReplicaId>('replica')
export const stageIdSchema = id<StageId>('stage')
export const requestIdSchema = id<RequestId>('req')
export const decisionIdSchema = id<DecisionId>('decision')
export const ledgerEntryIdSchema = id<LedgerEntryId>('entry')
