import { getRouteApi, Link } from '@tanstack/react-router'
import { ArrowUp, Eraser, MessageSquare, Rocket, Square } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { Field, Input, Select, TextArea } from '../../components/field.tsx'
import { Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { SkeletonPage } from '../../components/skeleton.tsx'
import { useAliases, useDeployments, useVersion } from '../../data/lists.ts'
import { type ChatOptions, useChat } from './chat.ts'
import { ExchangeView } from './exchange-view.tsx'

const route = getRouteApi('/app/playground')

/** Names that requests may use: of deployments that take them, and aliases. */
function useServedNames() {
  const deployments = useDeployments()
  const aliases = useAliases()
  const answering = deployments.items.filter(({ replicas }) => replicas.ready > 0)
  const ids = new Set<string>(answering.map(({ id }) => id))
  const names = [
    ...answering.map(({ servedAs }) => servedAs),
    ...aliases.items.filter(({ deploymentId }) => ids.has(deploymentId)).map(({ name }) => name),
  ]
  return { list: deployments, names: [...new Set<string>(names)] }
}

export function PlaygroundPage() {
  const version = useVersion()
  const { list, names } = useServedNames()
  const error = version.error ?? (list.items.length === 0 ? list.error : null)
  if (error) {
    const retry = () => {
      void version.refetch()
      list.refetch()
    }
    return <Problem error={error} retry={retry} />
  }
  if (version.data === undefined || list.isPending) return <SkeletonPage />
  const { gatewayUrl } = version.data
  return (
    <Page title="Playground" about="Talk to a model, and see where the time of each answer went.">
      {gatewayUrl === null ? (
        <Card>
          <Empty icon={MessageSquare} title="No gateway is known" command="deos gateway">
            Requests go through a gateway. Start one, and tell the control plane its address.
          </Empty>
        </Card>
      ) : names.length === 0 ? (
        <Card>
          <Empty
            icon={Rocket}
            title="No deployment takes requests"
            command="deos deploy <model>"
            action={
              <Button look="primary" asChild>
                <Link to={list.items.length > 0 ? '/deployments' : '/deployments/new'}>
                  {list.items.length > 0 ? 'See why' : 'Deploy a model'}
                </Link>
              </Button>
            }
          >
            As soon as one is ready, it can be talked to here.
          </Empty>
        </Card>
      ) : (
        <Chat gatewayUrl={gatewayUrl} names={names} />
      )}
    </Page>
  )
}

interface Knobs {
  readonly system: string
  readonly temperature: string
  readonly maxTokens: string
}

function Chat({ gatewayUrl, names }: { readonly gatewayUrl: string; readonly names: readonly string[] }) {
  const { model: asked } = route.useSearch()
  const navigate = route.useNavigate()
  const model = names.find((name) => name === asked) ?? names[0]!
  const [knobs, setKnobs] = useState<Knobs>({ system: '', temperature: '0.7', maxTokens: '512' })
  const { exchanges, send, stop, clear } = useChat()
  const running = exchanges.some(({ state }) => state === 'waiting' || state === 'streaming')
  const end = useRef<HTMLDivElement>(null)
  const last = exchanges.at(-1)

  // biome-ignore lint/correctness/useExhaustiveDependencies: what was added is the reason to scroll
  useEffect(() => {
    end.current?.scrollIntoView({ block: 'nearest' })
  }, [exchanges.length, last?.answer.length])

  const options: ChatOptions = {
    gatewayUrl,
    model,
    system: knobs.system,
    temperature: Number(knobs.temperature) || 0,
    maxTokens: Math.max(1, Math.trunc(Number(knobs.maxTokens)) || 512),
  }
  return (
    <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,1fr)_18rem]">
      <section
        aria-label="Conversation"
        className="flex h-[calc(100dvh-12rem)] min-h-[26rem] min-w-0 flex-col rounded-lg border border-line bg-surface"
      >
        <div
          className="min-h-0 flex-1 overflow-y-auto"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
          tabIndex={0}
          role="log"
          aria-label="Messages"
          aria-live="off"
        >
          {exchanges.length === 0 ? (
            <Empty icon={MessageSquare} title={`Say something to ${model}`}>
              Each answer shows its first token, its speed and its way through the ring.
            </Empty>
          ) : (
            <ol className="flex flex-col gap-6 p-4 sm:p-6">
              {exchanges.map((exchange) => (
                <ExchangeView key={exchange.id} exchange={exchange} />
              ))}
            </ol>
          )}
          <div ref={end} />
        </div>
        <p className="sr-only" role="status">
          {last?.state === 'done' ? 'The answer is complete.' : running ? 'The answer is being written.' : ''}
        </p>
        <Composer running={running} onSend={(text) => void send(text, options)} onStop={stop} />
      </section>
      <Card
        title="Settings"
        actions={
          <Button size="small" look="quiet" disabled={exchanges.length === 0} onClick={clear}>
            <Eraser aria-hidden="true" />
            Clear
          </Button>
        }
      >
        <div className="flex flex-col gap-4">
          <Field label="Model">
            <Select
              options={names.map((name) => [name, name] as const)}
              value={model}
              onValue={(next) => void navigate({ search: { model: next }, replace: true })}
            />
          </Field>
          <Field label="System prompt">
            <TextArea
              rows={4}
              value={knobs.system}
              placeholder="You answer in one sentence."
              onChange={(event) => setKnobs({ ...knobs, system: event.target.value })}
            />
          </Field>
          <div className="grid grid-cols-2 gap-3">
            <Field label="Temperature">
              <Input
                type="number"
                min={0}
                max={2}
                step={0.1}
                value={knobs.temperature}
                onChange={(event) => setKnobs({ ...knobs, temperature: event.target.value })}
              />
            </Field>
            <Field label="Max. tokens">
              <Input
                type="number"
                min={1}
                value={knobs.maxTokens}
                onChange={(event) => setKnobs({ ...knobs, maxTokens: event.target.value })}
              />
            </Field>
          </div>
        </div>
      </Card>
    </div>
  )
}

interface ComposerProps {
  readonly running: boolean
  readonly onSend: (text: string) => void
  readonly onStop: () => void
}

function Composer({ running, onSend, onStop }: ComposerProps) {
  const [text, setText] = useState('')
  const send = () => {
    if (running || text.trim() === '') return
    onSend(text.trim())
    setText('')
  }
  return (
    <form
      className="flex items-end gap-2 border-t border-line p-3"
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
    >
      <TextArea
        aria-label="Message"
        rows={2}
        autoFocus
        value={text}
        placeholder="Message; Enter sends, Shift-Enter breaks the line"
        className="resize-none"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
          event.preventDefault()
          send()
        }}
      />
      {running ? (
        <Button onClick={onStop}>
          <Square aria-hidden="true" />
          Stop
        </Button>
      ) : (
        <Button type="submit" look="primary" disabled={text.trim() === ''}>
          <ArrowUp aria-hidden="true" />
          Send
        </Button>
      )}
    </form>
  )
}
