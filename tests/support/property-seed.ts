import fc from 'fast-check'

/**
 * The same properties are tried with the same values each time, so that what fails fails again. Other values are tried
 * with `PROPERTY_SEED=<n> npm test`; a failure prints the seed and the path to its counterexample.
 */
fc.configureGlobal({ seed: Number(process.env.PROPERTY_SEED ?? 1) })
