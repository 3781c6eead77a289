/**
 * - `decode`: takes requests; computes prompts too, unless another replica is sooner done with them
 * - `prefill`: computes prompts for those, on machines that are good at it
 */
export const replicaRoles = ['decode', 'prefill'] as const
export type ReplicaRole = (typeof replicaRoles)[number]
