/** A call as most formats write it: `{"name": …, "arguments": …}`. */
export const callText = (
  call: { readonly name: string; readonly arguments: string },
  field: 'arguments' | 'parameters',
): string => `{"name": ${JSON.stringify(call.name)}, "${field}": ${call.arguments}}`
