/** Pages of the console that a secret leads to. */
export interface Links {
  invitation(token: string): string
  setup(token: string): string
}

/**
 * Secrets stand behind the `#`: browsers send that part to no server, so that no log on the way has it.
 *
 * @param publicUrl - where people reach the console
 */
export function consoleLinks(publicUrl: string): Links {
  const link = (page: string, token: string): string => {
    const url = new URL(page, publicUrl)
    url.hash = `token=${token}`
    return url.toString()
  }
  return {
    invitation: (token) => link('/invitation', token),
    setup: (token) => link('/setup', token),
  }
}
