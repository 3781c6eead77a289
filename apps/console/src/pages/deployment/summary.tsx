import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { useNames } from '../../data/names.ts'
import type { Deployment } from '../../data/types.ts'
import { formatMoney } from '../../format/money.ts'
import { formatCount, formatDuration, formatTokenRate, nothing } from '../../format/numbers.ts'

/** What was wished for as the target, in words. */
export function targetText({ target }: Deployment['spec']): string {
  const parts = [
    target.ttftMs !== undefined && `first token in ${formatDuration(target.ttftMs)}`,
    target.tpotMs !== undefined && `${formatDuration(target.tpotMs)} a token`,
    target.tokensPerSecond !== undefined && formatTokenRate(target.tokensPerSecond),
    target.pricePerMillionTokens !== undefined &&
      `${formatMoney(target.pricePerMillionTokens)} a million tokens`,
  ].filter((part) => part !== false)
  return parts.length === 0 ? 'none' : parts.join(', ')
}

export const policyText = ({ policy }: Deployment['spec']): string =>
  [...(policy.regions ?? []), ...(policy.providers ?? [])].join(', ') || 'anywhere'

/** The wish, in a line of facts. */
export function Summary({ deployment }: { readonly deployment: Deployment }) {
  const names = useNames()
  const { spec, replicas } = deployment
  const facts: readonly (readonly [string, ReactNode])[] = [
    [
      'Model',
      <Link key="model" to="/models/$model" params={{ model: spec.modelId }} className="hover:underline">
        {names.model(spec.modelId)}
      </Link>,
    ],
    [
      'Served as',
      <code key="served" className="font-mono text-xs">
        {deployment.servedAs}
      </code>,
    ],
    [
      'Replicas',
      `${replicas.ready} ready of ${replicas.wanted} (${spec.replicas.min} to ${spec.replicas.max})`,
    ],
    ...(spec.split === null
      ? []
      : [
          [
            'For prompts only',
            `${deployment.prefillReplicas.ready} ready of ${spec.split.prefillReplicas}, KV ${spec.split.kvQuality}`,
          ] as const,
        ]),
    [
      'Context',
      spec.contextTokens === null ? 'the model’s' : `${formatCount(spec.contextTokens)} × ${spec.sessions}`,
    ],
    ['Precision', spec.precision],
    ...(spec.activations === 'f32' ? [] : [['Between machines', spec.activations] as const]),
    ['Target', targetText(spec)],
    ['Where', policyText(spec)],
    ['Revision', String(deployment.revision)],
    ['Price an hour', deployment.pricePerHour === null ? nothing : formatMoney(deployment.pricePerHour)],
  ]
  return (
    <dl className="grid grid-cols-2 gap-x-4 gap-y-3 rounded-lg border border-line bg-surface p-4 text-sm sm:grid-cols-3 lg:grid-cols-5">
      {facts.map(([label, value]) => (
        <div key={label} className="min-w-0">
          <dt className="text-xs text-ink-3">{label}</dt>
          <dd className="break-words">{value}</dd>
        </div>
      ))}
    </dl>
  )
}
