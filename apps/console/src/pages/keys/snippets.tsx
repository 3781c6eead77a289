import { useState } from 'react'
import { Card } from '../../components/card.tsx'
import { CodeBlock } from '../../components/code.tsx'
import { Segmented } from '../../components/segmented.tsx'
import { useDeployments, useVersion } from '../../data/lists.ts'
import { snippetsOf } from './snippets.ts'

/** Ready to be pasted: with the gateway's real address, and the key while it is known. */
export function SnippetTabs({ secret }: { readonly secret: string | null }) {
  const gatewayUrl = useVersion().data?.gatewayUrl ?? null
  const deployments = useDeployments().items
  const [chosen, choose] = useState('curl')
  const model =
    (deployments.find(({ replicas }) => replicas.ready > 0) ?? deployments[0])?.servedAs ?? '<model>'
  const snippets = snippetsOf(gatewayUrl ?? '<gateway>/v1', model, secret)
  const snippet = snippets.find(({ id }) => id === chosen)!
  return (
    <div className="flex min-w-0 flex-col gap-3">
      <Segmented
        label="Language"
        options={snippets.map(({ id, label }) => [id, label] as const)}
        value={chosen}
        onValue={choose}
      />
      <CodeBlock code={snippet.code} label={`${snippet.label} snippet`} />
      {gatewayUrl === null && (
        <p className="text-xs text-ink-3">
          No gateway is known yet; its address goes in place of {'<gateway>'}.
        </p>
      )}
    </div>
  )
}

export const Snippets = ({ secret }: { readonly secret: string | null }) => (
  <Card title="Use it" about="With any client of the OpenAI API.">
    <SnippetTabs secret={secret} />
  </Card>
)
