import { Card, Facts } from '../../components/card.tsx'
import { CopyButton } from '../../components/code.tsx'
import { Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { SkeletonPage } from '../../components/skeleton.tsx'
import { useSettings, useVersion } from '../../data/lists.ts'
import { OrganisationForm } from './organisation-form.tsx'
import { SettingsForm } from './settings-form.tsx'

export function SettingsPage() {
  const settings = useSettings()
  return (
    <Page title="Settings" about="Of this organisation.">
      {settings.data === undefined ? (
        settings.error ? (
          <Problem error={settings.error} retry={() => void settings.refetch()} />
        ) : (
          <SkeletonPage />
        )
      ) : (
        // Somebody else’s change begins the form anew.
        <SettingsForm key={settings.data.updatedAt} settings={settings.data} />
      )}
      <OrganisationForm />
      <Installation />
    </Page>
  )
}

/** What the operator decided. */
function Installation() {
  const { data, error, refetch } = useVersion()
  if (data === undefined) return error ? <Problem error={error} retry={() => void refetch()} /> : null
  const { min, max } = data.workerProtocols
  return (
    <Card title="Installation" about="Decided by whoever runs the control plane.">
      <Facts
        facts={[
          ['Version', data.version],
          ['Machines’ protocol', min === max ? String(min) : `${min} to ${max}`],
          [
            'Gateway',
            data.gatewayUrl === null ? (
              'none is known'
            ) : (
              <span key="gateway" className="inline-flex flex-wrap items-center gap-1">
                <code className="font-mono text-xs break-all">{data.gatewayUrl}</code>
                <CopyButton text={data.gatewayUrl} label="Copy the gateway’s address" />
              </span>
            ),
          ],
        ]}
      />
    </Card>
  )
}
