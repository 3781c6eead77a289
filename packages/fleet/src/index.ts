/**
 * @packageDocumentation
 * What the control plane knows and decides about machines and deployments, as folds of events. Pure: time and ids are
 * handed in, events and refusals come out; storing the first and answering with the second is for others. Start at
 * {@link decideFleet} for machines.
 */
export * from './deployments/index.ts'
export * from './machines/index.ts'
