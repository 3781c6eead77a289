import { type ApiEvent, type ApiEventOf, type EventType, type Money, microUnitsOf } from '@deos/api'
import { currency, formatMoney, money } from '@deos/ledger'

/** What happened, in a sentence for people. */
export const eventMessage = <T extends EventType>(type: T, data: ApiEvent['data']): string =>
  messages[type](data as ApiEventOf<T>['data'])

type Messages = { readonly [T in EventType]: (data: ApiEventOf<T>['data']) => string }

const messages: Messages = {
  'machine.joined': ({ name, location, incarnation, joinTokenId }) =>
    joinTokenId === null
      ? `Machine ${name} is back, started for the ${ordinal(incarnation)} time.`
      : `Machine ${name} joined in ${location.region} (${location.provider}).`,
  'machine.inventory-reported': ({ machineId, hardwareChanged }) =>
    hardwareChanged
      ? `${machineId} reported its hardware, which differs from before.`
      : `${machineId} reported its hardware.`,
  'machine.benchmarked': ({ machineId }) => `${machineId} was measured.`,
  'machine.quarantined': ({ machineId, reason }) => because(`${machineId} was quarantined`, reason),
  'machine.released': ({ machineId, reason }) => because(`${machineId} left quarantine`, reason),
  'machine.cordoned': ({ machineId, reason }) => because(`${machineId} gets no new stages`, reason),
  'machine.uncordoned': ({ machineId, reason }) => because(`${machineId} may get stages again`, reason),
  'machine.drain-started': ({ machineId, reason }) => because(`${machineId} is being drained`, reason),
  'machine.drained': ({ machineId }) => `${machineId} is drained: nothing is placed there.`,
  'machine.offline': ({ machineId, cause, reason }) =>
    because(cause === 'goodbye' ? `${machineId} said goodbye` : `${machineId} went offline`, reason),
  'machine.returned': ({ machineId }) => `${machineId} is heard of again.`,
  'machine.updated': ({ machineId, fields }) => `${machineId}: ${changed(fields)}.`,
  'machine.removed': ({ machineId, reason }) => because(`${machineId} was removed`, reason),
  'join-token.created': ({ joinTokenId }) => `Join token ${joinTokenId} was created.`,
  'join-token.revoked': ({ joinTokenId, reason }) => because(`Join token ${joinTokenId} was revoked`, reason),
  'model.registered': ({ name }) => `Model ${name} was registered.`,
  'model.state-changed': ({ modelId, to, reason }) => because(`${modelId} is now ${to}`, reason),
  'model.removed': ({ modelId }) => `${modelId} was removed.`,
  'deployment.created': ({ name, replicas }) => `${name} was created with ${ofReplicas(replicas)}.`,
  'deployment.revised': ({ deploymentId, revision, replicas }) =>
    `${deploymentId} got revision ${revision} with ${ofReplicas(replicas)}.`,
  'deployment.rolled-back': ({ deploymentId, revision, replicas }) =>
    `${deploymentId} went back to revision ${revision} with ${ofReplicas(replicas)}.`,
  'deployment.scaled': ({ deploymentId, replicas }) => `${deploymentId} is to have ${ofReplicas(replicas)}.`,
  'deployment.paused': ({ deploymentId, reason }) => because(`${deploymentId} was paused`, reason),
  'deployment.resumed': ({ deploymentId }) => `${deploymentId} was resumed.`,
  'deployment.placement-refused': ({ deploymentId, reasons }) =>
    because(`No place was found for a replica of ${deploymentId}`, reasons.map(sentence).join(' ')),
  'deployment.update-squeezed': ({ deploymentId, reason }) =>
    because(`The update of ${deploymentId} has no room for a spare replica`, reason),
  'deployment.removing': ({ deploymentId, reason }) => because(`${deploymentId} is being removed`, reason),
  'deployment.removed': ({ deploymentId }) => `${deploymentId} is gone.`,
  'replica.added': ({ replicaId, revision }) => `${replicaId} was added for revision ${revision}.`,
  'replica.placed': ({ replicaId, stages }) =>
    `${replicaId} was placed on ${[...new Set(stages.map(({ machineId }) => machineId))].join(', ')}.`,
  'replica.verifying': ({ replicaId }) => `${replicaId} is loaded and is to prove itself with a first token.`,
  'replica.ready': ({ replicaId, firstTokenMs }) =>
    `${replicaId} takes requests; its first token took ${Math.round(firstTokenMs)} ms.`,
  'replica.failed': ({ replicaId, reason, failures }) =>
    because(failures > 1 ? `${replicaId} failed ${failures} times in a row` : `${replicaId} failed`, reason),
  'replica.draining': ({ replicaId, reason }) => because(`${replicaId} finishes what it has`, reason),
  'replica.returned': ({ replicaId, reason }) => because(`${replicaId} takes requests again`, reason),
  'replica.gone': ({ replicaId, reason }) => because(`${replicaId} is gone`, reason),
  'stage.progressed': ({ stageId, loadedFraction }) =>
    `${stageId} is ${Math.floor(100 * loadedFraction)} % loaded.`,
  'stage.listening': ({ stageId, linkAddress }) => `${stageId} is reached at ${linkAddress}.`,
  'stage.loaded': ({ stageId }) => `${stageId} is loaded.`,
  'stage.failed': ({ stageId, reason }) => because(`${stageId} failed`, reason),
  'stage.unloaded': ({ stageId, reason }) => because(`${stageId} was unloaded`, reason),
  'key.created': ({ keyId }) => `Key ${keyId} was created.`,
  'key.updated': ({ keyId, fields }) => `Key ${keyId}: ${changed(fields)}.`,
  'key.revoked': ({ keyId }) => `Key ${keyId} was revoked.`,
  'member.joined': ({ userId, role }) => `${userId} became a member as ${role}.`,
  'member.role-changed': ({ userId, role }) => `${userId} is now ${role}.`,
  'member.removed': ({ userId }) => `${userId} is no longer a member.`,
  'invitation.created': ({ role }) => `Somebody was invited as ${role}.`,
  'invitation.revoked': ({ invitationId }) => `Invitation ${invitationId} was revoked.`,
  'project.created': ({ projectId }) => `${projectId} was created.`,
  'project.updated': ({ projectId, fields }) => `${projectId}: ${changed(fields)}.`,
  'project.removed': ({ projectId }) => `${projectId} was removed.`,
  'alias.set': ({ alias, deploymentId }) => `${alias} leads to ${deploymentId}.`,
  'alias.removed': ({ alias }) => `${alias} leads nowhere any more.`,
  'budget.reached': ({ keyId, projectId, limit }) =>
    `${keyId === null ? projectId : `Key ${keyId}`} has used up its budget of ${amountOf(limit)}.`,
  'ledger.deposited': ({ amount }) => `${amountOf(amount)} was paid in.`,
  'settings.changed': ({ fields }) => `Settings: ${changed(fields)}.`,
}

/** Ends with exactly one mark. */
const sentence = (text: string): string => (/[.!?…]$/.test(text) ? text : `${text}.`)

const because = (what: string, reason: string): string =>
  reason.trim() === '' ? `${what}.` : `${what}: ${sentence(reason.trim())}`

const ofReplicas = (count: number): string => `${count} ${count === 1 ? 'replica' : 'replicas'}`

const changed = (fields: readonly string[]): string =>
  fields.length === 0 ? 'nothing changed' : `${fields.join(', ')} changed`

const amountOf = (amount: Money): string =>
  formatMoney(money(microUnitsOf(amount), currency(amount.currency)))

function ordinal(count: number): string {
  const end = { one: 'st', two: 'nd', few: 'rd' }[ordinals.select(count) as 'one' | 'two' | 'few'] ?? 'th'
  return `${count}${end}`
}

const ordinals = new Intl.PluralRules('en', { type: 'ordinal' })
