import { ApiError } from '@deos/sdk'
import { useMutation } from '@tanstack/react-query'
import { useToast } from '../components/toast.tsx'
import { useRefresh } from './query.ts'
import { useClient } from './session.tsx'

type Client = ReturnType<typeof useClient>

interface ActionOptions<In, Out> {
  /** Groups of data that it changes. */
  readonly changes?: readonly string[]
  /** Said when it is done. */
  readonly done?: string | ((result: Out, input: In) => string)
  readonly onDone?: (result: Out, input: In) => void
  /** Forms show errors at their fields themselves. */
  readonly quiet?: boolean
}

/** Something a person does: carried out once, told of, and what it changed is asked for again. */
export function useAction<In = void, Out = unknown>(
  act: (client: Client, input: In, idempotencyKey: string) => Promise<Out>,
  { changes = [], done, onDone, quiet = false }: ActionOptions<In, Out> = {},
) {
  const client = useClient()
  const refresh = useRefresh()
  const toast = useToast()
  return useMutation<Out, unknown, In>({
    mutationFn: (input) => act(client, input, crypto.randomUUID()),
    onSuccess: async (result, input) => {
      if (done !== undefined) toast({ text: typeof done === 'string' ? done : done(result, input) })
      onDone?.(result, input)
      await refresh(...changes)
    },
    onError: (error) => {
      if (quiet) return
      toast({
        text: error instanceof Error ? error.message : 'That did not work.',
        detail: error instanceof ApiError ? error.hint : '',
        tone: 'bad',
      })
    },
  })
}
