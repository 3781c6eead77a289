/** A token of a link, from the part of the address that is never sent anywhere: `#token=…`. */
export const tokenOfFragment = (): string | null => {
  const token = new URLSearchParams(location.hash.slice(1)).get('token')
  return token === null || token === '' ? null : token
}
