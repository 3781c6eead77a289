/**
 * The schemas of the API would compile themselves with `eval`, which the content security policy forbids and reports.
 * Their library reads this setting from the global object, whichever of the two is loaded first.
 */
const scope = globalThis as { __zod_globalConfig?: { jitless?: boolean } }
scope.__zod_globalConfig ??= {}
scope.__zod_globalConfig.jitless = true

export {}
