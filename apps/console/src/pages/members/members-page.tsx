import { mayGrantRole, type Role, roles } from '@deos/sdk'
import { Mail, Plus, Users } from 'lucide-react'
import { useState } from 'react'
import { StateBadge } from '../../components/badge.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Empty } from '../../components/empty.tsx'
import { Select } from '../../components/field.tsx'
import { Page } from '../../components/page.tsx'
import { ListTable } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { useToast } from '../../components/toast.tsx'
import { useMembers } from '../../data/lists.ts'
import { useNames } from '../../data/names.ts'
import { useList, useRefresh } from '../../data/query.ts'
import { useClient, useMay, useSession } from '../../data/session.tsx'
import type { Invitation, Member } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { Invite } from './invite.tsx'

export const roleHints: Readonly<Record<Role, string>> = {
  owner: 'Everything, money and owners included.',
  admin: 'Everything but owners and deposits.',
  developer: 'Models, deployments, keys and the playground.',
  viewer: 'Looks at everything but money.',
  supplier: 'Keeps machines and sees what they earn.',
}

export function MembersPage() {
  const members = useMembers()
  const mayWrite = useMay('members:write')
  const [inviting, setInviting] = useState(false)
  return (
    <Page
      title="Members"
      about="People of this organisation and what they may do."
      actions={
        mayWrite && (
          <Button look="primary" onClick={() => setInviting(true)}>
            <Plus aria-hidden="true" />
            Invite
          </Button>
        )
      }
    >
      <Card title="Members" flush>
        <ListTable
          label="Members"
          list={members}
          rowKey={({ userId }) => userId}
          columns={[
            {
              name: 'Person',
              cell: ({ name, email }) => (
                <>
                  <div className="font-medium">{name}</div>
                  <div className="text-xs break-all text-ink-3">{email}</div>
                </>
              ),
            },
            { name: 'Role', cell: (member) => <RoleChoice member={member} /> },
            { name: 'Joined', align: 'right', cell: ({ joinedAt }) => <Time at={joinedAt} /> },
            {
              name: 'Last seen',
              align: 'right',
              cell: ({ lastSeenAt }) => <Time at={lastSeenAt} none="never" />,
            },
            { name: 'Actions', actions: true, cell: (member) => <RemoveMember member={member} /> },
          ]}
          empty={
            <Empty icon={Users} title="Nobody is here">
              Invite somebody.
            </Empty>
          }
        />
      </Card>
      <Invitations />
      {mayWrite && <Invite open={inviting} onOpenChange={setInviting} />}
    </Page>
  )
}

function RoleChoice({ member }: { readonly member: Member }) {
  const { role, session } = useSession()
  const change = useAction(
    (client, next: Role) => client.members.update({ params: { user: member.userId }, body: { role: next } }),
    { changes: ['members'], done: (_, next) => `${member.name} is ${next} now.` },
  )
  const open = roles.filter((each) => role !== null && mayGrantRole(role, each))
  const isSelf = session?.user?.id === member.userId
  if (isSelf || role === null || !mayGrantRole(role, member.role)) {
    return (
      <>
        <div>{member.role}</div>
        <div className="text-xs text-ink-3">{isSelf ? 'you' : roleHints[member.role]}</div>
      </>
    )
  }
  return (
    <Select
      aria-label={`Role of ${member.name}`}
      className="w-auto"
      disabled={change.isPending}
      options={open.map((each) => [each, each] as const)}
      value={member.role}
      onValue={(next) => change.mutate(next as Role)}
    />
  )
}

function RemoveMember({ member }: { readonly member: Member }) {
  const { role, session } = useSession()
  const client = useClient()
  const refresh = useRefresh()
  const toast = useToast()
  const [open, setOpen] = useState(false)
  if (role === null || !mayGrantRole(role, member.role) || session?.user?.id === member.userId) return null
  const remove = async () => {
    await client.members.remove({ params: { user: member.userId } })
    toast({ text: `${member.name} is no longer a member.` })
    await refresh('members')
  }
  return (
    <>
      <Button size="small" look="quiet" aria-label={`Remove ${member.name}`} onClick={() => setOpen(true)}>
        Remove
      </Button>
      <Confirm
        open={open}
        onOpenChange={setOpen}
        title={`Remove ${member.name}`}
        verb="Remove"
        danger
        act={remove}
      >
        {member.name} loses access at once. Keys that {member.name} created stay: revoke those by hand.
      </Confirm>
    </>
  )
}

function Invitations() {
  const names = useNames()
  const list = useList(['invitations'], (client, query, signal) => client.invitations.list({ query, signal }))
  return (
    <Card title="Invitations" flush>
      <ListTable
        label="Invitations"
        list={list}
        rowKey={({ id }) => id}
        columns={[
          {
            name: 'To',
            cell: ({ email, role }) => (
              <>
                <div className="font-medium break-all">{email}</div>
                <div className="text-xs text-ink-3">as {role}</div>
              </>
            ),
          },
          { name: 'State', cell: ({ state }) => <StateBadge state={state} /> },
          { name: 'By', cell: ({ invitedBy }) => names.person(invitedBy) },
          { name: 'Ends', align: 'right', cell: ({ expiresAt }) => <Time at={expiresAt} /> },
          {
            name: 'Actions',
            actions: true,
            cell: (invitation) => <RevokeInvitation invitation={invitation} />,
          },
        ]}
        empty={
          <Empty icon={Mail} title="No invitations">
            Whoever is invited gets a link that works once.
          </Empty>
        }
      />
    </Card>
  )
}

function RevokeInvitation({ invitation }: { readonly invitation: Invitation }) {
  const mayWrite = useMay('members:write')
  const revoke = useAction((client) => client.invitations.revoke({ params: { invitation: invitation.id } }), {
    changes: ['invitations'],
    done: `The invitation of ${invitation.email} is taken back.`,
  })
  if (!mayWrite || invitation.state !== 'pending') return null
  return (
    <Button
      size="small"
      look="quiet"
      busy={revoke.isPending}
      aria-label={`Take back the invitation of ${invitation.email}`}
      onClick={() => revoke.mutate()}
    >
      Take back
    </Button>
  )
}
