import { type ApiClient, connect } from '@deos/sdk'

/** Becomes the first owner by the link of a first start, as a browser does; keys may less than people. */
export async function becomeOwner(setupUrl: string): Promise<ApiClient> {
  const { origin, hash } = new URL(setupUrl)
  let cookie = ''
  const client = connect({
    url: origin,
    fetch: async (url, init) => {
      const response = await fetch(url, {
        ...init,
        headers: { ...(init.headers as Record<string, string>), origin, cookie },
      })
      const given = response.headers.getSetCookie().map((line) => line.split(';')[0]!)
      if (given.length > 0) cookie = given.join('; ')
      return response
    },
  })
  await client.session.setUp({
    body: {
      token: new URLSearchParams(hash.slice(1)).get('token')!,
      ...{
        name: 'Owner',
        email: 'owner@example.org',
        password: 'correct horse battery',
        organisation: 'Ours',
      },
    },
  })
  return client
}
